// The judge of user data: nodeadm's own code, asked many times in one process.
//
// It reads JSON lines {"userData": base64, "dropIns": {name: text}} and answers each with one JSON line: what
// `nodeadm config check` says of it ("error", empty for a configuration that is valid), and what `nodeadm config dump`
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
	"sync/atomic"

	"github.com/awslabs/amazon-eks-ami/nodeadm/api/v1alpha1"
	"github.com/awslabs/amazon-eks-ami/nodeadm/internal/api"
	"github.com/awslabs/amazon-eks-ami/nodeadm/internal/api/bridge"
	"github.com/awslabs/amazon-eks-ami/nodeadm/internal/configprovider"
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
	var userData atomic.Value
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	exitOn(err)
	exitOn(os.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+listener.Addr().String()))
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
	return answer{Config: encoded}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
