//go:build !race

package terminal_test

const racing = false
