# make reproduce   the sample experiment: tables, plot and page under results/out
# make test        all tests
PROFILE ?= sample
OUT ?= results/out

.PHONY: all setup sample build reproduce test test-pure test-interop test-browser test-latex parity lint clean
all: build

setup:
	@bash scripts/setup.sh $(if $(CUDA),cuda,cpu)

sample:
	@bash scripts/sample.sh

build: setup
	@go build -o bin/pema ./cmd/pema

reproduce: build sample
	bin/pema run $(PROFILE) --out $(OUT)

test: setup sample
	OMP_WAIT_POLICY=passive go test ./... # threads that spin starve each other on a busy machine

# What needs no C++ at all is built without a C compiler, to show it.
test-pure:
	CGO_ENABLED=0 GOWORK=off go vet ./datasets/... ./results/... ./report/... ./models/tokenizer/... ./models/checkpoint/... ./models/pema/...

# Python's huggingface_hub and datasets on our mirror and our cache, and the reverse; our fine-tuned models in transformers (own
# venvs in the cache).
test-interop: setup
	bash datasets/hub/interop/run.sh
	bash models/encoder/interop/run.sh

# The page in a real browser, and the LaTeX tables compiled (Debian packages).
test-browser:
	bash report/browser/run.sh
test-latex:
	bash report/latex/run.sh

# Token ids against Hugging Face's on every text of a folder laid out as the hub: make parity HUB=DIR
parity:
	bash models/tokenizer/parity/run.sh $(HUB)

lint: setup
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go tool staticcheck -checks inherit,-ST1005,-SA1019 ./... # file formats keep their names; old Parquet files need the old dictionary encoding

clean:
	rm -rf bin results/out
