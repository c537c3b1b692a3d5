// Package cluster founds a Nomad cluster and keeps what the operator has declared
// about it: servers, certificates, policies, pools, the control node's own Nomad.
//
// Everything secret is made and sealed before it is used, so that founding may be
// cut off anywhere and be repeated: it ends in the same cluster. The package
// knows no hosts' states; whoever installs servers asks for their files.
package cluster
