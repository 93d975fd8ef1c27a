// What kube-proxy's own code makes of Services, EndpointSlices and configurations.
//
//	kube-proxy-rules-judge ipvs          worlds on stdin, one JSON a line; virtual services on stdout, one JSON a line
//	kube-proxy-rules-judge nftables      the same with the real nft of this network namespace; `nft -j` output a line
//	kube-proxy-rules-judge config        configurations as JSON strings, one a line; {"error": ..., "config": ...} a line,
//	                                     read as loadConfig in cmd/kube-proxy/app/options.go reads a file
//
// The proxiers are those of k8s.io/kubernetes. In ipvs mode the kernel, ipset and iptables are the stand-ins of
// kube-proxy's own unit tests: what the kernel makes of the calls is proven by the tests with a virtual machine.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"reflect"
	"sort"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	logsapi "k8s.io/component-base/logs/api/v1"
	sysctltest "k8s.io/component-helpers/node/util/sysctl/testing"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/proxy"
	kubeproxyconfig "k8s.io/kubernetes/pkg/proxy/apis/config"
	"k8s.io/kubernetes/pkg/proxy/apis/config/scheme"
	kubeproxyconfigv1alpha1 "k8s.io/kubernetes/pkg/proxy/apis/config/v1alpha1"
	"k8s.io/kubernetes/pkg/proxy/apis/config/validation"
	"k8s.io/kubernetes/pkg/proxy/conntrack"
	"k8s.io/kubernetes/pkg/proxy/healthcheck"
	"k8s.io/kubernetes/pkg/proxy/ipvs"
	ipsettest "k8s.io/kubernetes/pkg/proxy/ipvs/ipset/testing"
	netlinktest "k8s.io/kubernetes/pkg/proxy/ipvs/testing"
	ipvstest "k8s.io/kubernetes/pkg/proxy/ipvs/util/testing"
	"k8s.io/kubernetes/pkg/proxy/nftables"
	proxyutil "k8s.io/kubernetes/pkg/proxy/util"
	proxyutiltest "k8s.io/kubernetes/pkg/proxy/util/testing"
	iptablestest "k8s.io/kubernetes/pkg/util/iptables/testing"
)

// World is a cluster as one node sees it.
type World struct {
	Node              string
	NodeIP            string
	Zone              string
	Addresses         []string
	NodePortAddresses []string
	Scheduler         string
	Gates             map[string]bool
	Services          []*v1.Service
	Slices            []*discovery.EndpointSlice
}

type server struct {
	Address string
	Port    uint16
	Weight  int
}

type service struct {
	Protocol, Address, Scheduler string
	Port                         uint16
	Flags, Timeout               uint32
	Servers                      []server
}

type table struct {
	Services []service
	Bound    []string
}

const config = `{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"}`

func main() {
	klog.SetOutput(os.Stderr)
	klog.LogToStderr(false)
	// As in the init of cmd/kube-proxy/app/server.go.
	if err := logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate); err != nil {
		panic(err)
	}
	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			return
		}
		switch os.Args[1] {
		case "config":
			out.Encode(decode(line))
		case "ipvs":
			out.Encode(programIPVS(read(line)))
		case "nftables":
			out.Encode(programNFTables(read(line)))
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func read(line []byte) *World {
	world := &World{}
	if err := json.Unmarshal(line, world); err != nil {
		panic(err)
	}
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(world.Gates); err != nil {
		panic(err)
	}
	return world
}

// set replaces a private field, as kube-proxy's own unit tests do from inside the package.
func set(proxier any, name string, value any) {
	field := reflect.ValueOf(proxier).Elem().FieldByName(name)
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Set(reflect.ValueOf(value))
}

func (world *World) config() *kubeproxyconfig.KubeProxyConfiguration {
	found := must(load([]byte(config)))
	found.NodePortAddresses = world.NodePortAddresses
	found.IPVS.Scheduler = world.Scheduler
	return found
}

func (world *World) network() *proxyutiltest.FakeNetwork {
	network := proxyutiltest.NewFakeNetwork()
	for number, text := range world.Addresses {
		ip := net.ParseIP(text)
		bits := 128
		if ip.To4() != nil {
			bits = 32
		}
		device := &net.Interface{Index: number, Name: fmt.Sprintf("eth%d", number)}
		network.AddInterfaceAddr(device, []net.Addr{&net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)}})
	}
	return network
}

// play shows a proxier the cluster, filtered as the informers of cmd/kube-proxy/app filter it.
func (world *World) play(proxier proxy.Provider) {
	proxier.OnTopologyChange(map[string]string{v1.LabelTopologyZone: world.Zone})
	for _, one := range world.Services {
		_, other := one.Labels["service.kubernetes.io/service-proxy-name"]
		if !other && one.Spec.ClusterIP != v1.ClusterIPNone {
			proxier.OnServiceAdd(one)
		}
	}
	for _, one := range world.Slices {
		if _, headless := one.Labels[v1.IsHeadlessService]; !headless {
			proxier.OnEndpointSliceAdd(one)
		}
	}
	proxier.OnServiceSynced()
	proxier.OnEndpointSlicesSynced()
}

func programIPVS(world *World) table {
	found := table{Services: []service{}, Bound: []string{}}
	for _, family := range []v1.IPFamily{v1.IPv4Protocol, v1.IPv6Protocol} {
		kernel := ipvstest.NewFake()
		is6 := family == v1.IPv6Protocol
		iptables := iptablestest.NewFake()
		if is6 {
			iptables = iptablestest.NewIPv6Fake()
		}
		links := netlinktest.NewFakeNetlinkHandle(is6)
		for number, text := range world.Addresses {
			links.SetLocalAddresses(fmt.Sprintf("eth%d", number), text)
		}
		proxier := must(ipvs.NewProxier(context.Background(), world.config(), family, iptables, kernel,
			ipsettest.NewFake("6.0"), sysctltest.NewFake(), proxyutil.NewNoOpLocalDetector(), world.Node,
			net.ParseIP(world.NodeIP), nil, nil, false))
		set(proxier, "netlinkHandle", links)
		set(proxier, "networkInterfacer", world.network())
		set(proxier, "conntrack", conntrack.NewFake())
		set(proxier, "serviceHealthServer", healthcheck.NewFakeServiceHealthServer())
		world.play(proxier)
		for key, one := range kernel.Services {
			row := service{Protocol: key.Protocol, Address: key.IP, Port: key.Port, Scheduler: one.Scheduler,
				Flags: uint32(one.Flags), Timeout: one.Timeout, Servers: []server{}}
			for _, real := range kernel.Destinations[key] {
				row.Servers = append(row.Servers, server{real.Address.String(), real.Port, real.Weight})
			}
			found.Services = append(found.Services, row)
		}
		found.Bound = append(found.Bound, must(links.ListBindAddress("kube-ipvs0"))...)
	}
	sort.Strings(found.Bound)
	return found
}

func programNFTables(world *World) map[string]json.RawMessage {
	found := map[string]json.RawMessage{}
	for family, short := range map[v1.IPFamily]string{v1.IPv4Protocol: "ip", v1.IPv6Protocol: "ip6"} {
		exec.Command("nft", "delete", "table", short, "kube-proxy").Run()
		proxier := must(nftables.NewProxier(context.Background(), world.config(), family,
			proxyutil.NewNoOpLocalDetector(), world.Node, net.ParseIP(world.NodeIP), nil, nil, false))
		set(proxier, "networkInterfacer", world.network())
		set(proxier, "conntrack", conntrack.NewFake())
		set(proxier, "serviceHealthServer", healthcheck.NewFakeServiceHealthServer())
		world.play(proxier)
		found[short] = must(exec.Command("nft", "-j", "list", "table", short, "kube-proxy").Output())
	}
	return found
}

func load(data []byte) (*kubeproxyconfig.KubeProxyConfiguration, error) {
	object, _, err := scheme.Codecs.UniversalDecoder().Decode(data, nil, nil)
	if runtime.IsStrictDecodingError(err) {
		lenient := runtime.NewScheme()
		kubeproxyconfig.AddToScheme(lenient)
		kubeproxyconfigv1alpha1.AddToScheme(lenient)
		codecs := serializer.NewCodecFactory(lenient, serializer.DisableStrict)
		object, _, err = codecs.UniversalDecoder().Decode(data, nil, nil)
	}
	if err != nil {
		return nil, err
	}
	found, ok := object.(*kubeproxyconfig.KubeProxyConfiguration)
	if !ok {
		return nil, fmt.Errorf("not a KubeProxyConfiguration: %T", object)
	}
	return found, nil
}

func decode(line []byte) map[string]any {
	var text string
	if err := json.Unmarshal(line, &text); err != nil {
		panic(err)
	}
	found, err := load([]byte(text))
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	answer := map[string]any{"config": json.RawMessage(must(json.Marshal(found))), "scheduler": found.IPVS.Scheduler}
	found.Mode = kubeproxyconfig.ProxyMode("ipvs")
	if errs := validation.Validate(found); len(errs) != 0 {
		answer["invalid"] = errs.ToAggregate().Error()
	}
	return answer
}
