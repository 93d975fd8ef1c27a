// etcd as it is: its own main, for the API servers of these tests. Debian's 3.4 is too old for Kubernetes 1.35 and later.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
