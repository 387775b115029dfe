//go:build race

package dockerfile_test

// The race detector makes the parsers more than ten times slower.
func init() { hostileSize /= 16 }
