package agent_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/loadtest"
	"weir/loadtest/agent"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// Variables that make this test's program an agent: where it listens, what it loads, and how far its clock is ahead.
const (
	agentListen = "WEIR_TEST_AGENT"
	agentTarget = "WEIR_TEST_AGENT_TARGET"
	agentAhead  = "WEIR_TEST_AGENT_AHEAD"
)

func TestMain(m *testing.M) {
	if listen := os.Getenv(agentListen); listen != "" {
		fmt.Fprintln(os.Stderr, serve(listen))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// serve is an agent until its standard input ends.
func serve(listen string) error {
	ahead, err := time.ParseDuration(os.Getenv(agentAhead))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	a := agent.NewServer(secret, func(_ []byte, s scenario.Scenario) (loadtest.Config, func(), error) {
		return loadtest.Config{Scenario: s, Own: true, Target: target.Options{Name: "ws", URL: os.Getenv(agentTarget)}}, func() {}, nil
	})
	a.Now = func() time.Time { return time.Now().Add(ahead) }
	go func() { // ends the process
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	fmt.Println(l.Addr())
	return errors.Join(http.Serve(l, a)) //nolint:gosec // of a test
}
