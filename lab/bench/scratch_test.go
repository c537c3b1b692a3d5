package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestScratch(t *testing.T) {
	if os.Getenv("SCRATCH") == "" {
		t.Skip("scratch")
	}
	ctx := t.Context()
	w, err := newWire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer w.remove()
	dir := t.TempDir()
	data := make([]byte, 1<<20)
	rand.Read(data)
	os.Chmod(dir, 0o755)
	os.WriteFile(dir+"/nbp.efi", data, 0o644)
	os.Chmod(strings.TrimSuffix(dir, "/001"), 0o755)
	servers := map[string]string{
		"dnsmasq": "dnsmasq -k --port=0 --user=root --interface=vs0 --bind-interfaces --enable-tftp --tftp-root=" + dir + " --tftp-max=1100 --log-facility=/dev/null --conf-file=/dev/null",
		"hpa":     "in.tftpd -L -s -u root -a 10.0.0.1:69 " + dir,
		"ours":    "/usr/bin/env GOMAXPROCS=2 /tmp/bsrv/tsrv 10.0.0.1:69 " + dir}
	for r := 0; r < 3; r++ {
		for _, n := range strings.Fields(os.Getenv("SCRATCH")) {
			a := append([]string{"netns", "exec", w.server}, strings.Fields(servers[n])...)
			c := exec.CommandContext(ctx, "ip", a...)
			c.Stderr = os.Stderr
			c.Start()
			time.Sleep(700 * time.Millisecond)
			for _, k := range [][2]int{{1, 40}, {50, 4}, {1000, 1}} {
				c0 := cpu(c.Process.Pid)
				res, err := tftpLoad{Server: netip.MustParseAddrPort("10.0.0.1:69"), File: "nbp.efi", Want: data, Block: 1468, Clients: k[0], Repeat: k[1]}.run(context.Background(), w.client)
				fmt.Printf("%-8s %4d  %.1f MB/s repeats %d srvcpu %d ticks wall %v err %v\n", n, k[0], res.MBps(), res.Repeats, cpu(c.Process.Pid)-c0, res.Took, err)
			}
			c.Process.Signal(os.Interrupt)
			if n == "dnsmasq" || n == "hpa" {
				c.Process.Kill()
			}
			c.Wait()
		}
	}
}
func cpu(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	s := string(b)
	i := strings.LastIndexByte(s, ')')
	if i < 0 {
		return 0
	}
	f := strings.Fields(s[i+1:])
	var u, v int
	fmt.Sscan(f[11], &u)
	fmt.Sscan(f[12], &v)
	return u + v
}
func cases() [][2]int { var o [][2]int; s:=os.Getenv("CASES"); if s==""{s="1:40,50:4,1000:1"}; for _,x:=range strings.Split(s,","){var a,b int; fmt.Sscanf(x,"%d:%d",&a,&b); o=append(o,[2]int{a,b})}; return o}
