# `make` alone lists the targets. Everything here may be run again at any time.

SHELL      := /bin/bash
.DEFAULT_GOAL := help
ROOT       := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Tests are compiled as you and run as root: they make network namespaces.
AS_ROOT    := $(if $(ROOT),-exec 'sudo env "PATH=$(PATH)" "NOMAD_BIN=$(NOMAD_BIN)" "GOMODCACHE=$(shell go env GOMODCACHE)" GOCACHE=/var/tmp/provision-go-cache')
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS    := -s -w -X main.version=$(VERSION)
EMBEDDED   := images/embedded/files
GO_FILES   := $(shell git ls-files -co --exclude-standard '*.go' 2>/dev/null) go.mod go.sum
EMBED_SRC  := $(shell git ls-files -co --exclude-standard 2>/dev/null | grep -E '/(scripts|templates|testdata)/|\.(tmpl|ipxe|hcl|sh)$$')

# What the build, the virtual rack and the tests use from Debian. None of these
# packages starts a service.
PACKAGES := qemu-system-x86 qemu-system-arm qemu-utils ovmf qemu-efi-aarch64 seabios ipxe ipxe-qemu \
	grub2-common grub-pc-bin grub-efi-amd64-bin dosfstools mtools e2fsprogs fdisk xz-utils zstd cpio kmod \
	iproute2 nftables ethtool iputils-ping tcpdump curl busybox-static shellcheck \
	isc-dhcp-client udhcpc dhcpcd-base tftp-hpa dnsmasq-base jq cryptsetup-bin btrfs-progs xfsprogs mdadm ansible

# The peers of bench-peers. Their services are kept from starting.
PEERS := kea-dhcp4-server kea-admin isc-dhcp-server tftpd-hpa nginx-light

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: deps build ## the main job, end to end, in a virtual rack; RACK=3: three machines become a cluster
	$(ROOT) bin/lab demo $(if $(RACK),--machines $(RACK))

.PHONY: test
test: deps build lint ## everything: linters, unit tests under the race detector, end-to-end runs
	go test $(AS_ROOT) -race -timeout 30m $$(go list ./... | grep -v /e2e)
	go test $(AS_ROOT) -timeout 60m -count=1 -v ./e2e

.PHONY: e2e
e2e: deps build ## the end-to-end runs alone: real firmware in virtual machines
	go test $(AS_ROOT) -timeout 60m -count=1 -v ./e2e

.PHONY: check-real
check-real: ## NOMAD_BIN=FILE or ROS_ADDR=HOST (ROS_USER, ROS_PASSWORD): the contract tests on the real thing, nothing skipped
	@test -x "$(NOMAD_BIN)" -o -n "$(ROS_ADDR)" || { echo "usage: NOMAD_BIN=FILE make check-real, or ROS_ADDR=HOST ROS_USER=NAME ROS_PASSWORD=… make check-real"; exit 1; }
	@out=$$(NOMAD_BIN="$(realpath $(NOMAD_BIN))" go test $(AS_ROOT) -count=1 -v -run Contract $(if $(NOMAD_BIN),./nomad/... ./cluster) $(if $(ROS_ADDR),./router/routertest) 2>&1); code=$$?; echo "$$out"; \
	if grep -q -- '--- SKIP' <<<"$$out"; then echo "something was skipped"; exit 1; fi; exit $$code

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, shellcheck
	@test -z "$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))" || { gofmt -l .; echo "run gofmt -w on the files above"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	git grep --untracked -lE '^#! ?/(usr/)?bin/(env )?(ba)?sh' -- ':!*.md' ':!*_test.go' ':!*.go' | xargs shellcheck -e SC1090,SC1091
	git ls-files -co --exclude-standard 'lab/void/*.sh' | xargs shellcheck -s sh -e SC1090,SC1091

.PHONY: bench
bench: build ## Go benchmarks of every package
	go test $(AS_ROOT) -run '^$$' -bench . -benchmem $$(go list ./... | grep -v /e2e)

.PHONY: bench-boot
bench-boot: deps build ## power-on to Ready, beside the floor of the same machine
	$(ROOT) bin/lab --name bench demo --floor

.PHONY: bench-peers
bench-peers: deps peers build ## our servers beside Debian's in one run; prints ratios
	$(ROOT) bin/lab bench-peers

.PHONY: fuzz
fuzz: build ## every fuzz target for FUZZTIME (default 10s)
	@for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -h '^func Fuzz' $$pkg/*_test.go | sed 's/func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do \
	    echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-10s} -fuzzminimizetime 1x $$pkg || exit 1; done; done

.PHONY: build
build: bin/provision bin/lab bin/standin-xbps bin/standin-nomad bin/standin-ansible ## bin/provision with the loaders and agents embedded, and the rack's programs

LOADERS := $(EMBEDDED)/undionly.kpxe $(EMBEDDED)/snponly.efi $(EMBEDDED)/arm64.efi
AGENTS  := $(EMBEDDED)/agent-amd64 $(EMBEDDED)/agent-arm64

$(EMBEDDED)/%: /usr/lib/ipxe/%
	install -m 0644 $< $@

$(EMBEDDED)/arm64.efi: scripts/arm64-loader.sh
	scripts/arm64-loader.sh $@ build/arm64

$(EMBEDDED)/agent-%: $(GO_FILES) $(EMBED_SRC)
	CGO_ENABLED=0 GOOS=linux GOARCH=$* go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/agent

bin/provision bin/lab: bin/%: $(GO_FILES) $(EMBED_SRC) $(LOADERS) $(AGENTS)
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/$*

bin/standin-%: $(GO_FILES)
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ ./lab/standin/$*

.PHONY: deps
deps: ## install what build, rack and tests need from Debian; quick when present
	@scripts/debian-packages.sh $(PACKAGES)

.PHONY: peers
peers: ## install the servers that bench-peers compares with, without starting them
	@scripts/debian-packages.sh $(PEERS)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin build $(LOADERS) $(AGENTS)
