package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"
	"golang.org/x/term"

	"provision.internal/web"
)

// app is what every command works with.
type app struct {
	in       io.Reader
	out, err screen
	settings *viper.Viper
	now      func() time.Time
}

// screen is an output that knows whether a person looks at it.
type screen struct {
	io.Writer
	paint
	terminal bool
	size     func() (width, height int)
}

func newApp(in io.Reader, out, err *os.File) *app {
	return &app{in: in, out: newScreen(out), err: newScreen(err), settings: newSettings(), now: time.Now}
}

func newScreen(f *os.File) screen {
	fd := int(f.Fd())
	s := screen{Writer: f, terminal: term.IsTerminal(fd) && os.Getenv("TERM") != "dumb"}
	s.paint = paint(s.terminal && os.Getenv("NO_COLOR") == "")
	s.size = func() (int, int) {
		if w, h, err := term.GetSize(fd); err == nil && w > 0 && h > 0 {
			return w, h
		}
		return 80, 24
	}
	return s
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, a *app, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code := exitCode(err)
	var said *silent
	if !errors.As(err, &said) {
		fmt.Fprintln(a.err, a.err.red("provision:"), cleanLines(err.Error()))
	}
	if code == exitUsage && errors.As(err, new(*usageError)) {
		fmt.Fprintln(a.err, "provision: see provision --help")
	}
	return code
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "provision COMMAND",
		Short: "Turn bare machines into Nomad nodes",
		Long: `provision answers machines that are powered on with network boot, installs those
that you admit, and hands them to Nomad.

` + "`provision serve`" + ` is the daemon. Every other command asks it over a unix socket;
who may write to that socket is an operator.`,
		Example: `  provision check                                    # is everything as it should be?
  provision serve                                    # the daemon; needs root
  provision hosts                                    # who has been seen, and what became of them
  provision enroll node1 --mac 52:54:00:12:34:56 --role worker`,
		SilenceErrors:         true,
		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		Args:                  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return usagef("there is no command %q%s", args[0], hint)
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetHelpTemplate(helpTemplate)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.PersistentFlags().String("config", defaultConfig, "configuration file ($PROVISION_CONFIG)")
	root.PersistentFlags().String("socket", "", "the daemon's unix socket ($PROVISION_SOCKET; the configuration's server.socket)")
	// Hidden, as it is on every page; and cobra wants this one to be a plain bool.
	root.PersistentFlags().BoolP("help", "h", false, "show help")
	must(root.PersistentFlags().MarkHidden("help"))
	bind(a.settings, "config", root.PersistentFlags().Lookup("config"))
	bind(a.settings, "socket", root.PersistentFlags().Lookup("socket"))

	root.AddCommand(
		newServe(a), newCheck(a),
		newEnroll(a), newHosts(a), newHost(a), newLogs(a), newWatch(a), newReinstall(a), newRetire(a),
		newImages(a), newConfig(a), newRouter(a), newCluster(a), newStatus(a), newVersion(a),
	)
	for _, group := range []*cobra.Group{
		{ID: groupDaemon, Title: "The appliance:"},
		{ID: groupHosts, Title: "Machines:"},
	} {
		root.AddGroup(group)
	}
	root.SetHelpCommandGroupID(groupDaemon)
	return root
}

const (
	groupDaemon = "daemon"
	groupHosts  = "hosts"
)

const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}{{if not .HasParent}}
Exit codes:
  0  done
  1  something went wrong
  2  the command line or the configuration is wrong
  3  no daemon answers
  4  no such host, or snapshot
  5  not possible: a conflict, or the host's state
  6  the host failed
  7  --timeout passed; the host goes on
  8  the router cannot be reached
  9  the router refuses the login, or what it may do
  10 the router's certificate is not the pinned one
  11 the router's version or device mode does not allow it
  12 the router's change was rolled back
  13 it is not known what the router is like now
  14 no Nomad server answers, or they have no leader
  15 Nomad refuses the appliance's token
  130  interrupted (Ctrl-C); the host goes on
{{end}}`

func (a *app) client() *web.Client { return &web.Client{Socket: a.socket()} }

// args wraps a check of positional arguments so that its errors are usage
// errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%s: %v; usage: %s", cmd.CommandPath(), err, cmd.UseLine())
		}
		return nil
	}
}

// jsonFlag adds --json to a command that prints results.
func jsonFlag(cmd *cobra.Command) *bool {
	var v bool
	toggle(cmd, &v, "json", "print JSON for programs")
	return &v
}

// toggle adds a flag that needs no value. pflag's own kind prints
// "[=true|false]" behind every name in the help.
func toggle(cmd *cobra.Command, v *bool, name, usage string) {
	cmd.Flags().BoolFunc(name, usage, func(s string) (err error) {
		*v, err = strconv.ParseBool(s)
		return err
	})
}

// printJSON prints one value in the form that people can read too.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
