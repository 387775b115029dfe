//go:build !linux

package ui

func dropInput() {}
