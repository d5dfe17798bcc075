package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakFree{m}, map[string]func(){"weir": main})
}

// leakFree fails the run if a test leaves a goroutine behind. goleak.VerifyTestMain would end the process
// itself, and so does testscript.Main.
type leakFree struct{ m *testing.M }

func (l leakFree) Run() int {
	loaded := goleak.IgnoreCurrent() // what packages start when they are loaded
	code := l.m.Run()
	outlives := goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2") // by up to 10 s its server
	refused := goleak.IgnoreAnyFunction("weir/relay/session.Refuse")                              // by up to a second the relay: its client reads why
	date := goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")
	if err := goleak.Find(loaded, outlives, refused, date); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // or each of many short processes takes a second to end
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"complains": complains,
			"exits":     exits,
			"jwt":       jwtClaims,
		},
	})
}
