// Prints the kubelet's command-line flags, the fields of KubeletConfiguration and the feature gates of one Kubernetes
// version as JSON. generate.py builds and runs it once for each version.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
)

// named maps types that have their own JSON form to the word that amigen's data uses for it.
var named = map[reflect.Type]string{
	reflect.TypeOf(metav1.Duration{}):            "duration",
	reflect.TypeOf(metav1.Time{}):                "time",
	reflect.TypeOf(resource.Quantity{}):          "quantity",
	reflect.TypeOf(resource.QuantityValue{}):     "quantity",
	reflect.TypeOf(logsapi.TimeOrMetaDuration{}): "durationOrInt",
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

var types = map[string]map[string]string{}

// word returns the name of a type: a JSON kind, []TYPE, map[]TYPE, or the name of a struct in types.
func word(t reflect.Type) string {
	if name, ok := named[t]; ok {
		return name
	}
	if t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(unmarshaler) {
		return "any"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return word(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "base64"
		}
		return "[]" + word(t.Elem())
	case reflect.Map:
		return "map[]" + word(t.Elem())
	case reflect.Struct:
		record(t)
		return t.Name()
	case reflect.Interface:
		return "any"
	}
	return t.Kind().String()
}

func record(t reflect.Type) {
	if _, ok := types[t.Name()]; ok {
		return
	}
	types[t.Name()] = map[string]string{}
	fields(t, types[t.Name()])
}

func fields(t reflect.Type, into map[string]string) {
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		name, rest, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case name == "" && (field.Anonymous || strings.Contains(rest, "inline")):
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			fields(inner, into)
		default:
			into[name] = word(field.Type)
		}
	}
}

func main() {
	// As in NewKubeletCommand, k8s.io/kubernetes cmd/kubelet/app/server.go.
	set := pflag.NewFlagSet("kubelet", pflag.ContinueOnError)
	set.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	config, err := options.NewKubeletConfiguration()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	options.NewKubeletFlags().AddFlags(set)
	options.AddKubeletConfigFlags(set, config)
	options.AddGlobalFlags(set)
	flags := map[string]string{}
	set.VisitAll(func(flag *pflag.Flag) { flags[flag.Name] = flag.Value.Type() })

	record(reflect.TypeOf(kubeletconfig.KubeletConfiguration{}))

	// As in the init of cmd/kubelet/app/server.go, and of kube-proxy's.
	if err := logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	gates := map[string]string{}
	for name, spec := range utilfeature.DefaultMutableFeatureGate.GetAll() {
		gates[string(name)] = "free"
		if spec.LockToDefault {
			gates[string(name)] = fmt.Sprint(spec.Default)
		}
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"flags": flags, "types": types, "featureGates": gates})
}
