// Package contain ends panics, so that one costs what was being worked on and never the process.
//
// Everything that runs on a goroutine of its own is started here, under a name, and told of to a [Hook], which counts and
// logs. There are three ways, by what a panic means:
//
//   - [Hook.Go], [Hook.After] and [Hook.Upon] start work that ends by itself. After a panic it has ended.
//   - [Hook.Loop] starts a loop that owns state. After a panic it goes on; what it was working on is for the loop to fail, by
//     the next. One that is to end, and panics over that again and again, is given up: a shutdown has an end whatever panics.
//   - [Hook.Do] runs one unit of work, such as one tick of a loop, and reports whether it came to its end. [Hook.End] is the
//     same for a function that has its own way of failing what it was at.
//
// A panic that a Hook has ended may have come with a lock held only where that is unlocked by a deferred call. What the
// runtime itself gives up over (a map that two write to, a stack that is full, no more memory) is no panic, and ends the
// process.
package contain
