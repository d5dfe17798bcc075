package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a command and wants its exit code: "exits 2 weir serve".
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		code = failed.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("want exit code %d, got %d", want, code)
	}
}

// complains holds the lines of stderr that are the program's own against a file; without one there must be
// none. Packages may have said something before main began: that is not ours to compare.
func complains(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 && !neg {
		ts.Fatalf("usage: complains file, or ! complains")
	}
	var got strings.Builder
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		if strings.HasPrefix(line, "weir: ") {
			got.WriteString(line)
		}
	}
	want := ""
	if !neg {
		want = ts.ReadFile(args[0])
	}
	if got.String() != want {
		ts.Fatalf("want on stderr:\n%s\ngot:\n%s", want, got.String())
	}
}

// jwtClaims verifies the token on stdout and wants claims: "jwt SECRET sub=u1 ttl=24h0m0s kid=k1".
func jwtClaims(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: jwt secret [claim=value...]")
	}
	out := ts.ReadFile("stdout")
	if strings.Count(out, "\n") != 1 || strings.ContainsAny(strings.TrimSpace(out), " \t") {
		ts.Fatalf("want one token and a line end, got %q", out)
	}
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(strings.TrimSpace(out), claims, func(*jwt.Token) (any, error) { return []byte(args[0]), nil })
	ts.Check(err)
	claims["kid"], claims["alg"] = token.Header["kid"], token.Header["alg"]
	if expires, err := claims.GetExpirationTime(); err == nil && expires != nil {
		issued, err := claims.GetIssuedAt()
		ts.Check(err)
		claims["ttl"] = expires.Sub(issued.Time).String()
	}
	for _, arg := range args[1:] {
		name, want, _ := strings.Cut(arg, "=")
		got, ok := claims[name].(string)
		if !ok {
			data, err := json.Marshal(claims[name])
			ts.Check(err)
			got = string(data)
		}
		if got != want {
			ts.Fatalf("claim %s: want %s, got %s", name, want, got)
		}
	}
}
