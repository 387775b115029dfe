// Package watchdog keeps a program that is stopped (SIGSTOP, SIGTSTP, a debugger) from holding up those at the other end of
// its connections. An engine waits for each reader of an agent's terminal, and a stopped process reads nothing: the agent
// stands still after about 1 MB of output. A small process of the same program, in a session of its own so that it is not
// stopped with it, holds a duplicate of each guarded connection and ends them all when the program gives no sign of life.
//
// It must not know what a connection is for, and reads and writes none.
package watchdog

import "time"

// Name is what the watchdog's process is called; the program calls Run when it finds itself called so.
const Name = "bottle-tui-watchdog"

// beat is between two signs of life of the program.
const beat = 500 * time.Millisecond

// silence is how many beats may fail to come before the program counts as stopped: 2 s.
const silence = 4
