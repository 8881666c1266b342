package experiments

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pema/models/torch"
	"pema/results"
)

// matter are the beginnings of names of environment variables that can change a run's numbers, its memory or its place.
var matter = []string{"OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "ATEN_", "OPENBLAS_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "PYTORCH_", "TORCH_",
	"HF_", "PEMA_", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", "LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_", "SLURM_JOB_ID", "SLURM_ARRAY_", "JOB_COMPLETION_INDEX"}

// variables picks from an environment what a record keeps. Nothing that can be a secret is kept: no name that speaks of one, no
// user or password in an address.
func variables(environ []string) map[string]string {
	out := map[string]string{}
	for _, e := range environ {
		name, v, _ := strings.Cut(e, "=")
		begins := func(p string) bool { return strings.HasPrefix(name, p) }
		secret := func(w string) bool { return strings.Contains(name, w) }
		if v == "" || !slices.ContainsFunc(matter, begins) || slices.ContainsFunc([]string{"TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL", "AUTH"}, secret) {
			continue
		}
		if strings.Contains(v, "@") && strings.Contains(v, "://") {
			u, err := url.Parse(v)
			if err != nil {
				continue
			}
			u.User = nil
			v = u.String()
		}
		out[name] = v
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// driver is the version of the NVIDIA driver, of a run on CUDA.
func driver(d torch.Device) string {
	if d == torch.CPU {
		return ""
	}
	b, _ := os.ReadFile("/proc/driver/nvidia/version")
	line, _, _ := strings.Cut(string(b), "\n")
	_, line, _ = strings.Cut(line, "Kernel Module")
	for _, word := range strings.Fields(line) {
		if word[0] >= '0' && word[0] <= '9' {
			return word
		}
	}
	return ""
}

// fetched names by content what a run takes from the folder of a model of the hub; its plan knew only the commit.
func fetched(dir string) ([]results.Input, error) {
	var out []results.Input
	weights := false
	for _, f := range [][2]string{{"config", "config.json"}, {"weights", "model*.safetensors"}, {"weights", "pytorch_model*.bin"}, {"tokenizer", "tokenizer*.json"}, {"tokenizer", "special_tokens_map.json"},
		{"tokenizer", "added_tokens.json"}, {"tokenizer", "vocab.*"}, {"tokenizer", "merges.txt"}, {"tokenizer", "*.model"}} {
		if f[0] == "weights" && weights {
			continue // only the first form of the weights is read
		}
		found, err := filepath.Glob(filepath.Join(dir, f[1]))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			in, err := hashFile(path)
			if err != nil {
				return nil, err
			}
			in.Role, weights = f[0], weights || f[0] == "weights"
			out = append(out, in)
		}
	}
	return out, nil
}
