package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Exit codes of ansible-playbook.
const (
	exitError  = 1 // before the first task
	exitFailed = 2 // a task
	exitSyntax = 4 // a playbook or an option
)

// errUsage marks what the caller wrote wrongly.
var errUsage = errors.New("usage")

func main() {
	failed, err := run(os.Args[1:], os.Getenv, os.Stdout)
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "ERROR!", err)
		os.Exit(exitSyntax)
	case err != nil:
		fmt.Fprintln(os.Stderr, "ERROR!", err)
		os.Exit(exitError)
	case failed:
		os.Exit(exitFailed)
	}
}

// options are those of ansible-playbook that matter here.
type options struct {
	inventory  string
	connection string
	limit      string
	check      bool
	root       string // where the host is; "/" but for a chroot
}

// run plays the named playbooks one after the other until one fails.
func run(args []string, getenv func(string) string, out io.Writer) (failed bool, err error) {
	opts, playbooks, err := parseOptions(args, out)
	if err != nil || len(playbooks) == 0 {
		return false, err
	}
	hosts := opts.hosts()
	if len(hosts) == 0 {
		return false, errors.New("the inventory, host pattern and --limit leave no host to target")
	}
	var books [][]play
	for _, name := range playbooks {
		plays, err := readPlaybook(name)
		if err != nil {
			return false, err
		}
		books = append(books, plays)
	}
	report := newReport(hosts)
	for i, plays := range books {
		for _, p := range plays {
			report.play(p, playbooks[i], opts)
		}
		if report.failed() {
			break
		}
	}
	if slices.Contains([]string{"json", "ansible.posix.json"}, getenv("ANSIBLE_STDOUT_CALLBACK")) {
		return report.failed(), report.writeJSON(out)
	}
	return report.failed(), report.writeText(out)
}

func parseOptions(args []string, out io.Writer) (o options, playbooks []string, err error) {
	var vars []string
	var version bool
	flags := pflag.NewFlagSet("ansible-playbook", pflag.ContinueOnError)
	flags.StringVarP(&o.inventory, "inventory", "i", "", "names with commas between, or a file with one on each line")
	flags.StringVarP(&o.connection, "connection", "c", "local", "local or community.general.chroot")
	flags.StringVarP(&o.limit, "limit", "l", "", "of the inventory, this host only")
	flags.BoolVarP(&o.check, "check", "C", false, "change nothing")
	flags.BoolP("diff", "D", false, "accepted; no differences are told")
	flags.StringArrayVarP(&vars, "extra-vars", "e", nil, "ansible_host=FOLDER of a chroot; others are let pass")
	flags.BoolVar(&version, "version", false, "say what this is")
	if err := flags.Parse(args); err != nil {
		return o, nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if version {
		fmt.Fprintln(out, "ansible-playbook: stand-in of the provision lab")
		return o, nil, nil
	}
	o.root = "/"
	switch o.connection {
	case "local":
	case "community.general.chroot":
		for _, v := range vars {
			if dir, ok := strings.CutPrefix(v, "ansible_host="); ok {
				o.root = dir
			}
		}
	default:
		return o, nil, fmt.Errorf("%w: this stand-in has no connection %q", errUsage, o.connection)
	}
	if flags.NArg() == 0 {
		return o, nil, fmt.Errorf("%w: a playbook is missing", errUsage)
	}
	return o, flags.Args(), nil
}

// hosts are those of the inventory within the limit.
func (o options) hosts() []string {
	text := o.inventory
	if text == "" {
		text = "inventory"
	}
	if !strings.Contains(text, ",") {
		b, err := os.ReadFile(text)
		if err != nil {
			return nil
		}
		text = string(b)
	}
	var all []string
	for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' || r == ' ' }) {
		if !strings.HasPrefix(name, "[") && !strings.HasPrefix(name, "#") && (o.limit == "" || name == o.limit) && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
