package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"provision.internal/dhcp/dhcptest"
)

// A server is a program that can be measured. Ours is the first of each protocol's.
type server struct {
	name    string
	program string
	pack    string // Debian's package of it
	// forks: a child serves each client, and nobody waits for it, so that its processor time
	// is lost.
	forks bool
	// configure writes what the program needs into dir, which is empty, and gives its arguments and
	// additions to its environment. boot is the folder with the files to be served.
	configure func(dir, boot string) (args, env []string, err error)
}

// ours is the name of our own server in every table.
const ours = "provision"

// The servers' address, and both ends' with their network, which is as wide as it is so that a pool of
// any size fits.
const (
	serverAddress = "10.0.0.1"
	serverEnd     = serverAddress + "/8"
	clientEnd     = "10.0.0.2/8"
)

// The addresses given away: twice as many as any load has machines.
const (
	poolFrom = "10.1.0.0"
	poolTo   = "10.1.31.255"
)

// Names of the files that are served, in the folder boot. They are those of boot loaders,
// because our daemon serves loaders under fixed names, of any size.
const (
	loaderFile = "snponly.efi"
	largeFile  = "undionly.kpxe"
)

// locate finds a program, also where an ordinary user's PATH does not look.
func locate(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", program)
}

// provision is our daemon, all of it, whatever is measured. Nothing is installed here, so
// that the inputs of an installation and Nomad may be missing.
func provision(program string) server {
	return daemonWith(program, func(dir, _ string) (string, error) {
		return fmt.Sprintf("  repository: %[1]s\n  keys: %[1]s\n  rootfs: %[1]s/rootfs.tar.xz\n", dir), nil
	})
}

// daemonWith is our daemon with what images gives for the section of that name.
func daemonWith(program string, images func(dir, boot string) (string, error)) server {
	return server{name: ours, program: program, configure: func(dir, boot string) ([]string, []string, error) {
		section, err := images(dir, boot)
		if err != nil {
			return nil, nil, err
		}
		config := fmt.Sprintf(`server:
  name: bench
  address: %s
  interface: %s
  state: %[3]s/state
  socket: %[3]s/socket
network:
  - name: bench
    subnet: 10.0.0.0/8
    dhcp: full
    pool: {from: %[4]s, to: %[5]s}
    gateway: %[1]s
    dns: [%[1]s]
    lease: 1h
    authoritative: true
images:
%[8]s  loaders: {uefi-x86_64: %[6]s, bios: %[7]s}
roles:
  worker: {}
nomad:
  address: http://%[1]s:4646
  servers: ["%[1]s:4647"]
`, serverAddress, dhcptest.ServerDevice, dir, poolFrom, poolTo, filepath.Join(boot, loaderFile), filepath.Join(boot, largeFile), section)
		return files(map[string]string{filepath.Join(dir, "provision.yaml"): config},
			[]string{"serve", "--config", filepath.Join(dir, "provision.yaml"), "--log-level", "warn"})
	}}
}

// kea runs with all processors, which is its fastest.
func kea() server {
	return server{name: "kea", program: "kea-dhcp4", pack: "kea-dhcp4-server", configure: func(dir, _ string) ([]string, []string, error) {
		config := fmt.Sprintf(`{"Dhcp4": {
 "interfaces-config": {"interfaces": ["%s"], "dhcp-socket-type": "raw"},
 "valid-lifetime": 3600,
 "multi-threading": {"enable-multi-threading": true, "thread-pool-size": 2, "packet-queue-size": 64},
 "lease-database": {"type": "memfile", "persist": true, "name": "%[2]s/leases.csv", "lfc-interval": 0},
 "subnet4": [{"subnet": "10.0.0.0/8", "id": 1, "pools": [{"pool": "%[3]s - %[4]s"}],
  "option-data": [{"name": "routers", "data": "%[5]s"}, {"name": "domain-name-servers", "data": "%[5]s"},
   {"name": "tftp-server-name", "data": "%[5]s"}, {"name": "boot-file-name", "data": "%[6]s"}]}],
 "loggers": [{"name": "kea-dhcp4", "severity": "ERROR", "output_options": [{"output": "stderr"}]}]
}}`, dhcptest.ServerDevice, dir, poolFrom, poolTo, serverAddress, loaderFile)
		args, _, err := files(map[string]string{filepath.Join(dir, "kea.json"): config}, []string{"-c", filepath.Join(dir, "kea.json")})
		return args, []string{"KEA_LOCKFILE_DIR=" + dir, "KEA_PIDFILE_DIR=" + dir}, err
	}}
}

func iscDHCP() server {
	return server{name: "isc-dhcpd", program: "dhcpd", pack: "isc-dhcp-server", configure: func(dir, _ string) ([]string, []string, error) {
		config := fmt.Sprintf(`authoritative; ping-check false; default-lease-time 3600; max-lease-time 7200;
subnet 10.0.0.0 netmask 255.0.0.0 {
  range %s %s; option routers %[3]s; option domain-name-servers %[3]s;
  option tftp-server-name "%[3]s"; filename "%[4]s";
}
`, poolFrom, poolTo, serverAddress, loaderFile)
		conf, leases := filepath.Join(dir, "dhcpd.conf"), filepath.Join(dir, "leases")
		return files(map[string]string{conf: config, leases: ""},
			[]string{"-4", "-f", "-q", "-cf", conf, "-lf", leases, "-pf", filepath.Join(dir, "pid"), dhcptest.ServerDevice})
	}}
}

// dnsmasq serves both; which one it is asked to do changes nothing else.
func dnsmasq(protocol string) server {
	return server{name: "dnsmasq", program: "dnsmasq", pack: "dnsmasq-base", configure: func(dir, boot string) ([]string, []string, error) {
		lines := []string{
			"port=0", "interface=" + dhcptest.ServerDevice, "bind-interfaces", "user=root", "log-facility=/dev/null",
			"pid-file=" + filepath.Join(dir, "pid"),
		}
		if protocol == "tftp" {
			lines = append(lines, "enable-tftp", "tftp-root="+boot, "tftp-max=1100")
		} else {
			lines = append(lines, "dhcp-range="+poolFrom+","+poolTo+",255.0.0.0,1h", "dhcp-lease-max=100000",
				"dhcp-leasefile="+filepath.Join(dir, "leases"), "dhcp-authoritative", "no-ping", "quiet-dhcp", "dhcp-boot="+loaderFile)
		}
		conf := filepath.Join(dir, "dnsmasq.conf")
		return files(map[string]string{conf: strings.Join(lines, "\n") + "\n"}, []string{"-k", "-C", conf})
	}}
}

func tftpHPA() server {
	return server{name: "tftpd-hpa", program: "in.tftpd", pack: "tftpd-hpa", forks: true, configure: func(_, boot string) ([]string, []string, error) {
		return []string{"-L", "-s", "-u", "root", "-a", serverAddress + ":69", boot}, nil, nil
	}}
}

func nginx() server {
	return server{name: "nginx", program: "nginx", pack: "nginx-light", configure: func(dir, boot string) ([]string, []string, error) {
		var temps strings.Builder
		for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			fmt.Fprintf(&temps, " %s_temp_path %s;\n", what, filepath.Join(dir, what))
		}
		config := fmt.Sprintf(`daemon off; user root; worker_processes auto; pid %[1]s/pid; error_log stderr error;
events { worker_connections 4096; }
http { sendfile on; tcp_nopush on; access_log off; keepalive_requests 100000; sendfile_max_chunk 2m;
%[2]s server { listen %[3]s:80; location /nbp/ { alias %[4]s/; } location /void/ { alias %[4]s/%[5]s/; } } }
`, dir, temps.String(), serverAddress, boot, siteFolder)
		conf := filepath.Join(dir, "nginx.conf")
		return files(map[string]string{conf: config}, []string{"-p", dir, "-e", "stderr", "-c", conf})
	}}
}

// files writes configuration files and passes args on.
func files(content map[string]string, args []string) ([]string, []string, error) {
	for name, text := range content {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, nil, err
		}
	}
	return args, nil, nil
}
