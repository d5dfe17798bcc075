package loadtest_test

import (
	"context"
	"fmt"
	"time"

	"weir/loadtest"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// A relay in memory that loses the tenth message to one of its subscribers.
func ExampleRun() {
	server := newFakeRelay(fakeConfig{Fault: func(conn, n int) fault {
		if conn == 2 && n == 10 {
			return lose
		}
		return noFault
	}})
	defer server.Close()
	rec, err := loadtest.Run(context.Background(), loadtest.Config{
		Scenario: scenario.Scenario{Name: "example", Subscribers: 5, Rate: 100, Duration: 300 * time.Millisecond, Warmup: -1, Drain: time.Second},
		Target:   target.Options{Name: "weir"},
		Dial:     server.Dial,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	res := report.New(rec)
	fmt.Println("expected", res.Expected, "lost", res.Lost, "duplicated", res.Duplicated)
	// Output: expected 150 lost 1 duplicated 0
}
