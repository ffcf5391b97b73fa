// What the tests ask of franz-go: flights COMMAND BOOTSTRAP ARGUMENTS.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

var commands = map[string]func(bootstrap string, arguments []string) error{
	"produce": produce,
	"consume": consume,
	"member":  member,
	"admin":   administer,
}

func main() {
	if len(os.Args) < 3 || commands[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: flights COMMAND BOOTSTRAP ARGUMENTS"))
	}
	if err := commands[os.Args[1]](os.Args[2], os.Args[3:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// connect makes a client that says what it is.
func connect(bootstrap string, options ...kgo.Opt) (*kgo.Client, error) {
	seeds := kgo.SeedBrokers(strings.Split(bootstrap, ",")...)
	return kgo.NewClient(append(options, seeds)...)
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		fail(err)
	}
	return value
}
