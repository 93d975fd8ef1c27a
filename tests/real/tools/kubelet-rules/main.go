// What the kubelet's own code says of flags and a drop-in of its configuration, up to where it would start.
//
// It reads JSON lines {"flags": [word], "config": {...}} and answers each with {"error": text}, empty for what starts.
// The steps are those of NewKubeletCommand and mergeKubeletConfigurations (cmd/kubelet/app/server.go), and the parsers
// of quantities that `run` calls later. The configuration below the drop-in is that of nodeadm (internal/kubelet/config.go),
// and of a host with cgroup v2, which this one need not be.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/api/resource"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubelet/config/v1beta1"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/apis/config/scheme"
	conversion "k8s.io/kubernetes/pkg/kubelet/apis/config/v1beta1"
	"k8s.io/kubernetes/pkg/kubelet/apis/config/validation"
	"k8s.io/kubernetes/pkg/kubelet/eviction"
	"k8s.io/kubernetes/pkg/kubelet/kubeletconfig/util/codec"
)

const base = `{"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "address": "0.0.0.0",
"authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true, "cacheTTL": "2m0s"},
"x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"}}, "authorization": {"mode": "Webhook"},
"cgroupDriver": "systemd", "failCgroupV1": false, "cgroupRoot": "/", "clusterDNS": ["10.100.0.10"], "clusterDomain": "cluster.local",
"containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
"evictionHard": {"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"},
"featureGates": {"RotateKubeletServerCertificate": true, "DynamicResourceAllocation": true,
"MutableCSINodeAllocatableCount": true}, "hairpinMode": "hairpin-veth", "kubeReserved": {"cpu": "70m"},
"kubeReservedCgroup": "/runtime", "systemReservedCgroup": "/system", "maxPods": 29, "protectKernelDefaults": true,
"readOnlyPort": 0, "serializeImagePulls": false, "serverTLSBootstrap": true, "shutdownGracePeriod": "2m30s",
"shutdownGracePeriodCriticalPods": "30s", "logging": {"verbosity": 2}}`

type question struct {
	Flags  []string       `json:"flags"`
	Config map[string]any `json:"config"`
	// Show asks for the configuration that the kubelet runs with.
	Show bool `json:"show"`
}

func main() {
	klog.LogToStderr(false)
	// As in the init of cmd/kubelet/app/server.go.
	if err := logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate); err != nil {
		panic(err)
	}
	questions, answers := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for questions.More() {
		var asked question
		if err := questions.Decode(&asked); err != nil {
			panic(err)
		}
		answer := map[string]any{"error": ""}
		config, err := judge(asked)
		if err != nil {
			answer["error"] = err.Error()
		} else if asked.Show {
			answer["config"] = config
		}
		answers.Encode(answer)
	}
}

func parse(words []string, into *kubeletconfig.KubeletConfiguration) error {
	set := pflag.NewFlagSet("kubelet", pflag.ContinueOnError)
	set.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	set.Usage = func() {}
	flags := options.NewKubeletFlags()
	flags.AddFlags(set)
	options.AddKubeletConfigFlags(set, into)
	options.AddGlobalFlags(set)
	if err := set.Parse(words); err != nil {
		return err
	}
	if rest := set.Args(); len(rest) > 0 {
		return fmt.Errorf("unknown command %+s", rest[0])
	}
	return options.ValidateKubeletFlags(flags)
}

func judge(asked question) (config *kubeletconfig.KubeletConfiguration, err error) {
	// The defaults panic where a feature gate is not known, and the kubelet ends so, too.
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	first, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, err
	}
	if err := parse(asked.Flags, first); err != nil {
		return nil, err
	}
	gates := utilfeature.DefaultMutableFeatureGate.DeepCopy()
	if err := gates.SetFromMap(first.FeatureGates); err != nil {
		return nil, err
	}
	_, codecs, err := scheme.NewSchemeAndCodecs()
	if err != nil {
		return nil, err
	}
	config, err = codec.DecodeKubeletConfiguration(context.Background(), codecs, []byte(base))
	if err != nil {
		return nil, err
	}
	if len(asked.Config) > 0 {
		if err := merge(config, asked.Config); err != nil {
			return nil, err
		}
	}
	fromFile := config.FeatureGates
	if err := parse(asked.Flags, config); err != nil {
		return nil, err
	}
	for name, value := range fromFile {
		if _, set := config.FeatureGates[name]; !set {
			config.FeatureGates[name] = value
		}
	}
	if err := gates.SetFromMap(config.FeatureGates); err != nil {
		return nil, err
	}
	if err := validation.ValidateKubeletConfiguration(config, gates); err != nil {
		return nil, err
	}
	return config, quantities(config)
}

func merge(config *kubeletconfig.KubeletConfiguration, over map[string]any) error {
	dropIn := map[string]any{"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1"}
	for name, value := range over {
		dropIn[name] = value
	}
	if dropIn["kind"] != "KubeletConfiguration" || dropIn["apiVersion"] != "kubelet.config.k8s.io/v1beta1" {
		return fmt.Errorf("unknown apiVersion/kind")
	}
	versioned := &v1beta1.KubeletConfiguration{}
	if err := conversion.Convert_config_KubeletConfiguration_To_v1beta1_KubeletConfiguration(config, versioned, nil); err != nil {
		return err
	}
	below, err := json.Marshal(versioned)
	if err != nil {
		return err
	}
	above, err := json.Marshal(dropIn)
	if err != nil {
		return err
	}
	merged, err := jsonpatch.MergePatch(below, above)
	if err != nil {
		return err
	}
	versioned = &v1beta1.KubeletConfiguration{}
	if err := json.Unmarshal(merged, versioned); err != nil {
		return err
	}
	conversion.SetDefaults_KubeletConfiguration(versioned)
	return conversion.Convert_v1beta1_KubeletConfiguration_To_config_KubeletConfiguration(versioned, config, nil)
}

// quantities is what `run` does with them: parseResourceList, eviction.ParseThresholdConfig, logs.parseMaxSize.
func quantities(config *kubeletconfig.KubeletConfiguration) error {
	for _, reserved := range []map[string]string{config.KubeReserved, config.SystemReserved} {
		for name, value := range reserved {
			if !strings.Contains(" cpu memory ephemeral-storage pid ", " "+name+" ") {
				return fmt.Errorf("cannot reserve %q resource", name)
			}
			quantity, err := resource.ParseQuantity(value)
			if err != nil {
				return fmt.Errorf("%s: %q: %w", name, value, err)
			}
			if quantity.Sign() == -1 {
				return fmt.Errorf("%s: negative", name)
			}
		}
	}
	if _, err := resource.ParseQuantity(config.ContainerLogMaxSize); err != nil {
		return fmt.Errorf("containerLogMaxSize: %w", err)
	}
	_, err := eviction.ParseThresholdConfig(config.EnforceNodeAllocatable, config.EvictionHard, config.EvictionSoft,
		config.EvictionSoftGracePeriod, config.EvictionMinimumReclaim)
	return err
}
