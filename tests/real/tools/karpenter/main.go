// The judge of user data for Karpenter: its own launch template resolver and bootstrap package, asked many times.
//
// It reads JSON lines {"userData": base64, "nodeClass": {...}} and answers each with {"userData": base64} or {"error":
// text}. nodeClass is the `spec` of an EC2NodeClass (amiFamily, kubelet, instanceStorePolicy). The cluster, the instance
// type (29 pods) and the address of kube-dns are made up; everything else is computed as for a launch.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"unicode/utf8"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"

	v1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	"github.com/aws/karpenter-provider-aws/pkg/providers/amifamily"
)

type question struct {
	UserData  []byte              `json:"userData"`
	NodeClass v1.EC2NodeClassSpec `json:"nodeClass"`
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
		userData, err := merged(asked)
		said := answer{UserData: userData}
		if err != nil {
			said = answer{Error: err.Error()}
		}
		exitOn(answers.Encode(said))
	}
}

func merged(asked question) (string, error) {
	if !utf8.Valid(asked.UserData) {
		return "", fmt.Errorf("a field of a Kubernetes object is UTF-8")
	}
	class := &v1.EC2NodeClass{Spec: asked.NodeClass}
	class.Spec.UserData = lo.ToPtr(string(asked.UserData))
	class.Status.AMIs = []v1.AMI{{ID: "ami-1"}}
	instanceType := &cloudprovider.InstanceType{
		Name:     "m5.large",
		Capacity: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("29")},
	}
	templates, err := amifamily.NewDefaultResolver("eu-west-1").Resolve(class, &karpv1.NodeClaim{},
		[]*cloudprovider.InstanceType{instanceType}, karpv1.CapacityTypeOnDemand, "default", &amifamily.Options{
			ClusterName:         "karpenters",
			ClusterEndpoint:     "https://karpenter.example",
			ClusterCIDR:         lo.ToPtr("10.100.0.0/16"),
			CABundle:            lo.ToPtr(base64.StdEncoding.EncodeToString([]byte("karpenter"))),
			InstanceStorePolicy: class.Spec.InstanceStorePolicy,
			Labels:              map[string]string{"karpenter.sh/nodepool": "default"},
			KubeDNSIP:           net.ParseIP("10.100.0.10"),
		}, "", 0)
	if err != nil {
		return "", err
	}
	return templates[0].UserData.Script(context.Background())
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
