package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		in := append([]float64(nil), c.in...)
		if got := median(c.in); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.in, got, c.want)
		}
		if d := cmp.Diff(in, c.in); d != "" {
			t.Errorf("median changes its argument: %s", d)
		}
	}
}

func TestRatio(t *testing.T) {
	for _, c := range []struct {
		ours, peer float64
		lower      bool
		want       float64
	}{
		{200, 100, false, 2}, {50, 100, false, 0.5}, {10, 5000, true, 500}, {20, 10, true, 0.5}, {0, 100, true, 0}, {5, 0, false, 0},
	} {
		if got := ratio(c.ours, c.peer, c.lower); got != c.want {
			t.Errorf("ratio(%v, %v, %v) = %v, want %v", c.ours, c.peer, c.lower, got, c.want)
		}
	}
}

func TestFigure(t *testing.T) {
	for in, want := range map[float64]string{0: "0", 7: "7", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 45678.9: "45679"} {
		if got := figure(in); got != want {
			t.Errorf("figure(%v) = %s, want %s", in, got, want)
		}
	}
}

// sampleReport has a peer that lost, one that is absent, and one without losses.
func sampleReport() *Report {
	storm := &table{name: "DHCP, 1000 at one instant"}
	for range 2 {
		storm.add(ours, []sample{{"p99", "ms", 10, true}, {"retransmissions", "packets", 0, true}}, nil)
		storm.add("kea", []sample{{"p99", "ms", 5000, true}, {"retransmissions", "packets", 900, true}}, nil)
		storm.add("isc-dhcpd", nil, errors.New("dhcpd is not installed: make peers installs isc-dhcp-server"))
	}
	tftp := &table{name: "TFTP, 1 MiB by 50"}
	tftp.add(ours, []sample{{"rate", "MB/s", 150, false}}, nil)
	tftp.add("dnsmasq", []sample{{"rate", "MB/s", 200, false}}, nil)
	r := &Report{Machine: Machine{Processors: 2, Kernel: "6.1.0", Load: 0.5}, Rows: append(storm.rows, tftp.rows...)}
	r.compare()
	r.judge(goals(full))
	return r
}

func TestReport(t *testing.T) {
	r := sampleReport()
	if got := r.find("DHCP, 1000 at one instant", "p99", "kea"); got.Median != 5000 || got.Ratio != 500 || len(got.Values) != 2 {
		t.Errorf("kea's p99: %+v, want 5000 and 500 times", got)
	}
	if got := r.find("DHCP, 1000 at one instant", "p99", ours); got.Ratio != 0 {
		t.Errorf("our own ratio is %v, want none", got.Ratio)
	}
	want := []Goal{
		{Name: "DHCP, 1000 at one instant, p99, ms", Want: "at most 50", Got: 10, Met: true},
		{Name: "DHCP, 1000 at one instant, retransmissions, packets", Want: "at most 0", Met: true},
		{Name: "TFTP, 1 MiB by 50, rate, times dnsmasq", Want: "at least 0.8", Got: 0.75},
	}
	if d := cmp.Diff(want, r.Goals); d != "" {
		t.Errorf("goals: %s", d)
	}
	if m := r.Missed(); len(m) != 1 || m[0].Got != 0.75 {
		t.Errorf("Missed() = %+v, want TFTP", m)
	}
}

// A goal whose server could not be measured is missed, not forgotten.
func TestUnmeasuredGoalIsMissed(t *testing.T) {
	c := &table{name: "DHCP, 16 in flight"}
	c.add(ours, []sample{{"exchanges", "1/s", 30000, false}}, nil)
	c.add("kea", nil, errors.New("kea-dhcp4 is not installed"))
	r := &Report{Rows: c.rows}
	r.compare()
	r.judge(goals(full))
	if len(r.Goals) != 1 || r.Goals[0].Met || r.Goals[0].Note != "kea-dhcp4 is not installed" {
		t.Errorf("goals %+v, want one that is missed and says why", r.Goals)
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := sampleReport().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2 processors, Linux 6.1.0, load 0.50 at the start",
		"DHCP, 1000 at one instant p99, ms provision 10 10–10",
		"kea 5000 5000–5000 500×",
		"isc-dhcpd – dhcpd is not installed: make peers installs isc-dhcp-server",
		"TFTP, 1 MiB by 50 rate, MB/s provision 150 150–150",
		"dnsmasq 200 200–200 0.75×",
		"TFTP, 1 MiB by 50, rate, times dnsmasq at least 0.8 0.75 MISSED",
	} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}

func TestReportAsJSON(t *testing.T) {
	r := sampleReport()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*r, back); d != "" {
		t.Errorf("read back: %s", d)
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("42 (in.tftpd (x) y) S 1 42 42 0 -1 4194560 10 20 0 0 150 50 25 75 20 0 1 0 100 200 300\n"))
	if err != nil || got != 3*time.Second {
		t.Errorf("parseStat = %v, %v; want 3s", got, err)
	}
	for _, bad := range []string{"", "42 in.tftpd S", "42 (a) S 1 2 3", "42 (a) S 1 42 42 0 -1 4194560 10 20 0 0 x 50 25 75 20 0"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) = %v, want an error", bad, got)
		}
	}
}

func TestParseRSS(t *testing.T) {
	got, err := parseRSS([]byte("Name:\tprovision\nVmHWM:\t  30000 kB\nVmRSS:\t   24000 kB\n"))
	if err != nil || got != 24000<<10 {
		t.Errorf("parseRSS = %v, %v; want %v", got, err, 24000<<10)
	}
	if got, err := parseRSS([]byte("Name:\tprovision\n")); err == nil {
		t.Errorf("parseRSS without VmRSS = %v, want an error", got)
	}
}
