// The judge of user data: nodeadm's own code, asked many times in one process.
//
// With the argument `api` it prints the fields of the NodeConfig API with their types (amigen/userdata/nodeconfig_api.json).
//
// Else it reads JSON lines {"userData": base64, "dropIns": {name: text}} and answers each with one JSON line: what
// `nodeadm config check` says of it, and `nodeadm init` of its CIDR and TOML ("error", empty for what is valid), and what `nodeadm config dump`
// prints ("config"). The calls are those of these commands (cmd/nodeadm/config), with the user data served by an IMDS on
// the loopback interface, as on a node. This module is named below nodeadm's so that Go lets it import `internal`.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/awslabs/amazon-eks-ami/nodeadm/api/v1alpha1"
	"github.com/awslabs/amazon-eks-ami/nodeadm/internal/api"
	"github.com/awslabs/amazon-eks-ami/nodeadm/internal/api/bridge"
	"github.com/awslabs/amazon-eks-ami/nodeadm/internal/configprovider"
	"github.com/awslabs/amazon-eks-ami/nodeadm/internal/util"
	"github.com/pelletier/go-toml/v2"
)

type question struct {
	UserData []byte            `json:"userData"`
	DropIns  map[string]string `json:"dropIns"`
}

type answer struct {
	Error  string          `json:"error"`
	Config json.RawMessage `json:"config,omitempty"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "api" {
		printAPI()
		return
	}
	// nodeadm makes its IMDS client before main runs, so the address has to be in the environment of the process.
	endpoint := os.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT")
	if endpoint == "" {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		exitOn(err)
		endpoint = "http://" + free.Addr().String()
		exitOn(free.Close())
		exitOn(os.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint))
		self, err := os.Executable()
		exitOn(err)
		exitOn(syscall.Exec(self, os.Args, os.Environ()))
	}
	listener, err := net.Listen("tcp", strings.TrimPrefix(endpoint, "http://"))
	exitOn(err)
	var userData atomic.Value
	go func() {
		exitOn(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
				fmt.Fprint(w, "token")
			} else if r.URL.Path == "/latest/user-data" {
				w.Write(userData.Load().([]byte))
			} else {
				http.NotFound(w, r)
			}
		})))
	}()
	folder, err := os.MkdirTemp("", "nodeadm.d-")
	exitOn(err)
	defer os.RemoveAll(folder)
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	questions, answers := json.NewDecoder(lines), json.NewEncoder(os.Stdout)
	for questions.More() {
		var asked question
		exitOn(questions.Decode(&asked))
		userData.Store(asked.UserData)
		exitOn(answers.Encode(judge(asked, folder)))
	}
}

func printAPI() {
	fields := map[string]string{}
	describe(reflect.TypeOf(v1alpha1.NodeConfig{}), "", fields)
	source := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/awslabs/amazon-eks-ami/nodeadm" {
				source = module.Path + " " + module.Version
			}
		}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	exitOn(encoder.Encode(map[string]any{
		"source": source,
		"fields": fields,
		"values": map[string]any{
			"spec.featureGates": []v1alpha1.Feature{v1alpha1.InstanceIdNodeName, v1alpha1.FastImagePull},
			"spec.instance.localStorage.strategy": []v1alpha1.LocalStorageStrategy{
				v1alpha1.LocalStorageRAID0, v1alpha1.LocalStorageRAID10, v1alpha1.LocalStorageMount,
			},
			"spec.instance.localStorage.disabledMounts": []v1alpha1.DisabledMount{
				v1alpha1.DisabledMountContainerd, v1alpha1.DisabledMountPodLogs, v1alpha1.DisabledMountSOCI,
			},
		},
	}))
}

// describe names the type of each field as JSON has it: string, int, bool, bytes, list of X, map of X, raw, time.
func describe(t reflect.Type, path string, fields map[string]string) {
	for i := range t.NumField() {
		field := t.Field(i)
		name := strings.Split(field.Tag.Get("json"), ",")[0]
		if name == "" {
			describe(field.Type, path, fields)
			continue
		}
		kind := kindOf(field.Type)
		if kind == "struct" {
			describe(field.Type, path+name+".", fields)
		} else {
			fields[path+name] = kind
		}
	}
}

func kindOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		if inner := kindOf(t.Elem()); inner == "bool" {
			return "optional bool"
		} else {
			return inner
		}
	}
	switch t.String() {
	case "runtime.RawExtension", "v1.FieldsV1":
		return "raw"
	case "v1.Time":
		return "time"
	}
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "list of " + kindOf(t.Elem())
	case reflect.Map:
		return "map of " + kindOf(t.Elem())
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "int"
	}
	return t.Kind().String()
}

func judge(asked question, folder string) (said answer) {
	defer func() {
		if panicked := recover(); panicked != nil {
			said = answer{Error: fmt.Sprintf("panic: %v", panicked)}
		}
	}()
	sources := []string{"imds://user-data"}
	if len(asked.DropIns) > 0 {
		for name, text := range asked.DropIns {
			path := filepath.Join(folder, name)
			exitOn(os.WriteFile(path, []byte(text), 0o600))
			defer os.Remove(path)
		}
		sources = append(sources, "file://"+folder)
	}
	provider, err := configprovider.BuildConfigProviderChain(sources)
	exitOn(err)
	config, err := provider.Provide()
	if err != nil {
		return answer{Error: err.Error()}
	}
	encoded, err := bridge.EncodeNodeConfig(config, v1alpha1.GroupVersion)
	exitOn(err)
	if err := api.ValidateNodeConfig(config); err != nil {
		return answer{Error: err.Error(), Config: encoded}
	}
	// What `nodeadm init` does with them later: internal/kubelet/config.go, internal/containerd/config.go.
	if _, err := config.Spec.Cluster.GetClusterDns(); err != nil {
		return answer{Error: err.Error(), Config: encoded}
	}
	if text := []byte(config.Spec.Containerd.Config); len(text) > 0 {
		if _, err := util.Merge([]byte("version = 2"), text, toml.Marshal, toml.Unmarshal); err != nil {
			return answer{Error: err.Error(), Config: encoded}
		}
	}
	return answer{Config: encoded}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
