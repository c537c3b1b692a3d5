package nomad

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A host's life in a secured cluster, with a token that may do no more than
// policy: it enrols, its job runs, it loses power in the middle of one, it is
// installed again under its name, and its job is stopped.
func TestContractReinstall(t *testing.T) { onBoth(t, true, reinstall) }

func reinstall(t *testing.T, p peer) {
	p.cfg.Job = file(t, "job.hcl", jobspec("sysbatch", "", shell("echo started; exec sleep 600")))
	c := connectAt(t, p.cfg, realPace)
	if leader, err := c.Ping(within(t)); err != nil || leader == "" {
		t.Fatalf("Ping: %q, %v", leader, err)
	}
	h := Client{Name: "host1", Pool: DefaultPool, Network: loopback, Certificate: ConfigDir + "/tls/host.pem", Key: ConfigDir + "/tls/host.key"}
	enrol := func(previous string) []File {
		t.Helper()
		files, err := c.Enrol(within(t), h, previous)
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	// The first boot chooses the node's ID, so that a loss of power cannot change it.
	const chosen = "7a780c47-390f-4edb-8dd9-10096b4b2ac9"
	lose := p.join(t, h, append(enrol(""), File{nodeID, 0o600, chosen}))
	first, err := c.WaitNode(within(t), "host1", "raw_exec")
	if err != nil {
		t.Fatal(err)
	}
	if first.ID != chosen {
		t.Errorf("the node is %s, want the chosen %s", first.ID, chosen)
	}
	if _, err := c.Enrol(within(t), h, ""); !errors.Is(err, ErrNameTaken) {
		t.Errorf("Enrol of another host1: %v, want ErrNameTaken", err)
	}
	run := func(attempt string, then func()) error {
		_, err := c.RunJob(within(t), Job{Host: "host1", Attempt: attempt, Progress: func(text string) {
			if strings.Contains(text, "runs") {
				go func() {
					waitRunning(t, c, "provision-host1-"+attempt)
					then()
				}()
			}
		}})
		return err
	}
	if err := run("lost", lose); !errors.Is(err, ErrJob) || !strings.Contains(err.Error(), "the node went down") {
		t.Errorf("RunJob on a node that loses power: %v, want ErrJob that says so", err)
	}

	p.join(t, h, enrol(first.ID))
	second, err := c.WaitNode(within(t), "host1", "raw_exec")
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := c.api.Nodes().List(query(within(t)))
	if err != nil || len(list) != 1 || second.ID == first.ID {
		t.Errorf("after the reinstallation %d nodes are listed (%v), want the new one alone", len(list), err)
	}
	err = run("stopped", func() {
		if err := c.StopJob(t.Context(), "provision-host1-stopped"); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, ErrJob) || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("RunJob of a stopped job: %v, want ErrJob that says so", err)
	}
	if err := c.StopJob(within(t), "provision-host9-none"); err != nil {
		t.Errorf("StopJob of an unknown job: %v, want nil", err)
	}
}

// waitRunning waits until the job's one allocation runs.
func waitRunning(t *testing.T, c *Cluster, job string) {
	for {
		allocs, _, err := c.api.Jobs().Allocations(job, true, query(t.Context()))
		if err != nil {
			return // the test is over
		}
		for _, a := range allocs {
			if a.ClientStatus == "running" {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}
