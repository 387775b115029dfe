package gitgate

import "github.com/zricethezav/gitleaks/v8/config"

type filter struct{}

func newFilter(config.Config) (*filter, error) { return &filter{}, nil }
func (*filter) mayHold([]byte) bool            { return true }
func (*filter) pathMatters(string) bool        { return true }
