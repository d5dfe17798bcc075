package message

import (
	"fmt"
	"math"
	"strconv"

	"github.com/valyala/fasthttp"
)

// Query returns a whole number of a query, or what stands for it where it is not given.
func Query(args *fasthttp.Args, name string, otherwise, least, most uint64) (uint64, error) {
	v := args.Peek(name)
	if len(v) == 0 {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	switch {
	case err == nil && n >= least && n <= most:
		return n, nil
	case most == Any:
		return 0, Bad(name + " must be a whole number")
	}
	return 0, Bad(fmt.Sprintf("%s must be %d to %d", name, least, most))
}

// Any is the most that a version may be.
const Any = math.MaxUint64
