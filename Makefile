# The front door for those who build. `make help` lists what there is.

GO       ?= go
BIN      := bin/bottle-tui
# Of sources without a repository of their own none is known: one around them has tags of something else.
VERSION  ?= $(shell [ -z "$$(git rev-parse --show-cdup 2>/dev/null || echo none)" ] && git describe --tags --always --dirty 2>/dev/null)
PACKAGES ?= ./...
# Integration and scenario tests share one engine and, often, few cores; some wait for minutes without a core.
PARALLEL ?= 4
TIMEOUT  ?= 40m

STATICCHECK := $(GO) tool -modfile=.ci/tools.mod staticcheck

.DEFAULT_GOAL := help
.PHONY: help demo build test lint fmt bench pictures engine images clean go FORCE

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: engine build ## four demo bottles on the screen; needs no key, no manifest, no network
	$(BIN) demo

build: $(BIN) ## the program, static, in bin/

# Go decides what is to be built anew. Without cgo the binary is static: it is also what runs in the sidecars.
$(BIN): go FORCE
	CGO_ENABLED=0 $(GO) build -trimpath $(if $(VERSION),,-buildvcs=false) -ldflags '-s -w -X bottle-tui/ui/cli.version=$(VERSION)' -o $@ .

# The engine of regular expressions is not instrumented: the scan for secrets, which runs it for minutes, takes half the
# time so, and nothing of this module shares memory with its inside. lint has vetted the tests already.
test: lint images ## everything: format, vet, staticcheck, and all tests on a real engine, with the race detector
	$(GO) test -race -gcflags=regexp=-race=false -gcflags=regexp/syntax=-race=false -vet=off -count=1 -timeout $(TIMEOUT) -p $(PARALLEL) $(PACKAGES)

# With the flags by which the tests build the program, so that each package is compiled once for both.
go:
	@command -v $(GO) >/dev/null || { echo "make: no $(GO) in PATH: install Go $$(sed -n 's/^go //p' go.mod) or later (https://go.dev/dl/), or name one with GO=" >&2; exit 1; }

lint: export CGO_ENABLED := 0
lint: export GOFLAGS := -trimpath
lint: go ## format check, go vet, staticcheck
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):" $$unformatted; exit 1; fi
	$(GO) vet $(PACKAGES)
	$(STATICCHECK) $(PACKAGES)
	@if command -v shellcheck >/dev/null; then shellcheck .ci/engine .ci/run .ci/needs .ci/debian-base .ci/claude-base .ci/node-base .ci/npm; fi

fmt: ## formats all Go files
	gofmt -w .

bench: images ## the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem -timeout $(TIMEOUT) -p 1 $(PACKAGES)

pictures: engine ## draws the README's pictures anew, from the real screen
	$(GO) test -count=1 -run 'TestDemo$$' ./ui/scenario -pictures $(CURDIR)/docs

engine: ## finds a container engine; where none answers, offers to install and start one
	@.ci/engine

images: engine ## makes the images that tests run: a small Debian, Claude Code on it, and Node on it
	@.ci/needs
	@.ci/claude-base
	@.ci/node-base

clean: ## removes what was built here; `bin/bottle-tui demo --clean` removes the demo's bottles
	rm -rf bin .cache
