package experiments

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVariablesKeepNoSecret(t *testing.T) {
	got := variables([]string{"OMP_NUM_THREADS=2", "CUDA_VISIBLE_DEVICES=1", "HF_TOKEN=hf_abc", "HF_TOKEN_PATH=/home/me/t", "HUGGING_FACE_HUB_TOKEN=x",
		"HF_ENDPOINT=https://me:secret@mirror.example/hub", "HOME=/home/me", "MKL_CBWR=", "PEMA_API_KEY=1", "HF_HOME=/data", "AWS_SECRET_ACCESS_KEY=z"})
	want := map[string]string{"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "1", "HF_ENDPOINT": "https://mirror.example/hub", "HF_HOME": "/data"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
