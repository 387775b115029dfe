// Package pid1 runs a program as the first process of a container, on engines that have no init of their own: it reaps
// the processes that lose their parent, hands on the signals that it gets, and ends as the program ended.
//
// It knows nothing of bottles. It must stay small: it runs beside every agent that has it.
package pid1

// Path is where the executable stands in a container; by its Name it is told that it is to be the first process.
const (
	Name = ".bottle-init"
	Path = "/" + Name
)

// The exit codes for a program that could not be started, as shells and engines have them.
const (
	cannotExecute = 126
	notFound      = 127
)
