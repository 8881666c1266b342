package checkpoint

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"

	"pema/internal/wholefile"
)

// TrainerState is what transformers' Trainer remembers of a training, as trainer_state.json.
type TrainerState struct {
	Epoch        float64 // where training stands, in epochs
	GlobalStep   int
	MaxSteps     int
	Epochs       int // asked for
	BatchSize    int // examples of one step
	LoggingSteps int
	// Log holds an entry for each time something was logged: "step" and "epoch", and any of "loss", "learning_rate", "grad_norm",
	// "eval_loss", "eval_accuracy", ...
	Log []map[string]float64
}

// Write writes trainer_state.json into a model folder.
func (s TrainerState) Write(dir string) error {
	log := s.Log
	if log == nil {
		log = []map[string]float64{}
	}
	for i, e := range log {
		if _, ok := e["step"]; !ok {
			return fmt.Errorf("write trainer_state.json: log entry %d has no step", i)
		}
	}
	state := map[string]any{
		"best_metric": nil, "best_model_checkpoint": nil, "epoch": s.Epoch, "eval_steps": s.LoggingSteps, "global_step": s.GlobalStep,
		"is_hyper_param_search": false, "is_local_process_zero": true, "is_world_process_zero": true, "log_history": log,
		"logging_steps": s.LoggingSteps, "max_steps": s.MaxSteps, "num_input_tokens_seen": 0, "num_train_epochs": s.Epochs, "save_steps": s.LoggingSteps,
		"total_flos": 0, "train_batch_size": s.BatchSize, "trial_name": nil, "trial_params": nil,
	}
	return writeJSON(filepath.Join(dir, "trainer_state.json"), state)
}

// WriteResults writes a model folder's train_results.json, eval_results.json and, of both together, all_results.json, by the
// names of transformers: "epoch", "train_loss", "train_runtime", "eval_accuracy", "eval_loss", ... An empty set is left out.
func WriteResults(dir string, train, eval map[string]float64) error {
	all := map[string]float64{}
	maps.Copy(all, train)
	maps.Copy(all, eval)
	for name, m := range map[string]map[string]float64{"train": train, "eval": eval, "all": all} {
		if len(m) == 0 {
			continue
		}
		if err := writeJSON(filepath.Join(dir, name+"_results.json"), m); err != nil {
			return err
		}
	}
	return nil
}

// writeJSON writes a map as transformers does: sorted keys, two spaces.
func writeJSON(path string, v any) error {
	err := wholefile.Write(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
