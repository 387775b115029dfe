// Package bottles is the life of a bottle: launch, teardown with state kept, resume, the rebuild
// cycle, recovery after a crash, and the cleanup of orphans.
//
// One goroutine, the Supervisor's, owns the world. It hears from the engine (events are the trigger,
// a full listing the truth), from the queue of requests, from the sidecars' voices and from the
// operations that it started, and it hands out immutable Snapshots. What is to be done to a bottle
// is first a Plan: steps as data, each with its cause, made from what is wanted and what was
// observed; only then an executor runs it, and the executor decides nothing. What is being done is in
// the bottle's journal before it is done, so that the next program finishes or takes back what a
// killed one left.
//
// The package must not draw, must not import a container engine's client (bottles/docker does,
// behind Engine), and must not hold a secret.
package bottles
