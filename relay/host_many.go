package relay

import (
	"sync"
	"sync/atomic"

	"weir/relay/hub"
	"weir/relay/problem"
)

// manyAtOnce bounds how many users of one request are told at once.
const manyAtOnce = 32

// Many does something for each of several users, some of them at once, and answers for each.
func (c *Core) Many(member string, list []string, each func(name string) (members []byte, err error)) []byte {
	type result struct {
		members []byte
		err     error
	}
	results := make([]result, len(list))
	for i := range results {
		results[i].err = problem.Internal // until it is done
	}
	var group sync.WaitGroup
	var next atomic.Int64
	for range min(manyAtOnce, len(list)) {
		c.Contain().Go(&group, "several users", func() { // ends with the list; waited for below
			for i := next.Add(1) - 1; i < int64(len(list)); i = next.Add(1) - 1 {
				c.Contain().Do("one of several users", func() { results[i].members, results[i].err = each(list[i]) })
			}
		}, nil)
	}
	group.Wait()
	a := hub.NewAnswers(member)
	for i, r := range results {
		a.Add(list[i], r.members, r.err)
	}
	return a.JSON()
}
