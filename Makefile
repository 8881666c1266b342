# make reproduce   the sample experiment: tables, plots and page under results/out
#                  PROFILE=sample|multilingual|vocabulary|memory|paper, HUB=a folder laid out as the hub or an address, JOBS=processes
# make test        all tests
PROFILE ?= sample
OUT ?= results/out
JOBS ?= 1

.PHONY: all setup sample build reproduce test test-pure test-interop test-slurm test-browser test-latex parity lint clean
all: build

setup:
	@bash scripts/setup.sh $(if $(CUDA),cuda,cpu)

sample:
	@bash scripts/sample.sh $(filter multilingual,$(PROFILE))

build: setup
	@go build -o bin/pema ./cmd/pema

reproduce: build sample
	bin/pema run $(PROFILE) --out $(OUT) --jobs $(JOBS) $(if $(HUB),--hub $(HUB))

test: setup sample
	OMP_WAIT_POLICY=passive go test ./... # threads that spin starve each other on a busy machine

# What needs no C++ at all is built without a C compiler, to show it.
test-pure:
	CGO_ENABLED=0 GOWORK=off go vet ./datasets/... ./results/... ./report/... ./models/tokenizer/... ./models/checkpoint/... ./models/pema/... ./scripts/...

# What others read and write, with their own tools (each in a venv in the cache): the hub's cache and mirror with huggingface_hub and
# datasets; fine-tuned models with
# transformers; exports with pyarrow, pandas, DuckDB and TensorBoard; manifests with Kubernetes' schemas.
test-interop: setup
	bash datasets/hub/interop/run.sh
	bash models/encoder/interop/run.sh
	bash results/interop/run.sh
	bash experiments/cluster/kubernetes/run.sh

# pema submit on a real Slurm (Debian packages, loopback; as root, installs it where it is missing).
test-slurm: build sample
	bash experiments/cluster/slurm/run.sh

# The page in a real browser, and the LaTeX tables compiled (Debian packages).
test-browser:
	sh report/browser/run.sh $(SCREENSHOTS)
test-latex:
	sh report/latex/run.sh

# Token ids against Hugging Face's on every text of a folder laid out as the hub: make parity HUB=DIR
parity:
	bash models/tokenizer/parity/run.sh $(HUB)

lint: setup
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go tool staticcheck -checks inherit,-ST1005,-SA1019 ./... # file formats keep their names; old Parquet files need the old dictionary encoding

clean:
	rm -rf bin results/out
