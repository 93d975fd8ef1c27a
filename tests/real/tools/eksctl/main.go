// The judge of user data for eksctl: its validation and its node bootstrap, asked many times in one process.
//
// It reads JSON lines {"cluster": {...}} with a ClusterConfig of one node group, managed or not, and answers each with
// {"userData": base64} or {"error": text}. Defaults and validation come in the order of pkg/ctl/cmdutils/cmd.go. What EKS
// would say of the cluster is made up.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	api "github.com/weaveworks/eksctl/pkg/apis/eksctl.io/v1alpha5"
	"github.com/weaveworks/eksctl/pkg/nodebootstrap"
)

type question struct {
	Cluster *api.ClusterConfig `json:"cluster"`
}

type answer struct {
	Error    string `json:"error"`
	UserData string `json:"userData,omitempty"`
}

func main() {
	questions, answers := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20)), json.NewEncoder(os.Stdout)
	for questions.More() {
		var asked question
		exitOn(questions.Decode(&asked))
		userData, err := made(asked.Cluster)
		said := answer{UserData: userData}
		if err != nil {
			said = answer{Error: err.Error()}
		}
		exitOn(answers.Encode(said))
	}
}

func made(cluster *api.ClusterConfig) (string, error) {
	api.SetClusterConfigDefaults(cluster)
	cluster.Status = &api.ClusterStatus{
		Endpoint:                 "https://eksctl.example",
		CertificateAuthorityData: []byte("eksctl"),
		KubernetesNetworkConfig:  &api.KubernetesNetworkConfig{ServiceIPv4CIDR: "10.100.0.0/16"},
	}
	var bootstrapper nodebootstrap.Bootstrapper
	var err error
	if len(cluster.ManagedNodeGroups) > 0 {
		group := cluster.ManagedNodeGroups[0]
		if err := api.SetManagedNodeGroupDefaults(group, cluster.Metadata, false); err != nil {
			return "", err
		}
		if err := api.ValidateManagedNodeGroup(0, group); err != nil {
			return "", err
		}
		bootstrapper, err = nodebootstrap.NewManagedBootstrapper(cluster, group)
	} else {
		group := cluster.NodeGroups[0]
		if err := api.ValidateNodeGroup(0, group, cluster); err != nil {
			return "", err
		}
		if err := api.SetNodeGroupDefaults(group, cluster.Metadata, false); err != nil {
			return "", err
		}
		bootstrapper, err = nodebootstrap.NewBootstrapper(cluster, group)
	}
	if err != nil {
		return "", err
	}
	return bootstrapper.UserData()
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
