// Interop verifies a log of agent-audit with implementations that are not agent-audit's, and signs for it to verify.
//
//	interop key <name>       prints a new private key, and its verifier key
//	interop sign             cosigns the checkpoint on standard input, and signs its text alone; prints JSON
//	interop check <options>  prints one line for each check, and exits 1 when one has failed
package main

import (
	"flag"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
)

func main() {
	var command string
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch {
	case command == "key" && len(os.Args) == 3:
		private, public, err := note.GenerateKey(nil, os.Args[2])
		exitOn(err)
		fmt.Println(private)
		fmt.Println(public)
	case command == "sign" && len(os.Args) == 2:
		exitOn(sign(os.Stdin, os.Stdout))
	case command == "check":
		if !check(readOptions(os.Args[2:])) {
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: interop key <name> | sign | check <options>")
		os.Exit(2)
	}
}

// options of a check; all files are as the service answered.
type options struct {
	log    string   // URL of the log, without a slash at its end
	key    string   // the bearer key
	vkeys  []string // of the log; each must have signed
	logs   string   // file: the list of logs
	older  string   // file: an earlier checkpoint
	proof  string   // file: the tlog-proof of an event
	event  string   // file: the bytes of that event
	tenant string   // whose event it is
	id     string   // event_id of that event
}

func readOptions(args []string) options {
	var o options
	flags := flag.NewFlagSet("check", flag.ExitOnError)
	flags.StringVar(&o.log, "log", "", "URL of the log")
	flags.StringVar(&o.key, "key", "", "bearer key")
	flags.Func("vkey", "verifier key of the log; each must have signed", func(vkey string) error {
		o.vkeys = append(o.vkeys, vkey)
		return nil
	})
	flags.StringVar(&o.logs, "logs", "", "file with the list of logs")
	flags.StringVar(&o.older, "older", "", "file with an earlier checkpoint")
	flags.StringVar(&o.proof, "proof", "", "file with the proof of an event")
	flags.StringVar(&o.event, "event", "", "file with the bytes of the event")
	flags.StringVar(&o.tenant, "tenant", "", "the tenant whose event it is")
	flags.StringVar(&o.id, "id", "", "event_id of the event")
	_ = flags.Parse(args)
	if len(o.vkeys) == 0 {
		exitOn(fmt.Errorf("-vkey is missing"))
	}
	return o
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
