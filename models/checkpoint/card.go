package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"pema/internal/wholefile"
)

// Card is what the README.md of a fine-tuned model tells the hub and its readers. Empty fields are left out.
type Card struct {
	Name      string   // of the model
	BaseModel string   // hub id that it was fine-tuned from
	License   string   // identifier of the hub, such as "apache-2.0"
	Languages []string // codes, such as "en"
	Tags      []string
	Dataset   CardDataset
	Metrics   []CardMetric
	Summary   string // first paragraph, Markdown
	Settings  []CardSetting
}

// CardDataset says what the metrics were measured on.
type CardDataset struct {
	Name   string // for people: "GLUE MRPC"
	Type   string // hub id: "nyu-mll/glue"
	Config string // "mrpc"
	Split  string // "validation"
}

// CardMetric is one measured value: Type is the hub's name of the metric ("accuracy"), Name the people's.
type CardMetric struct {
	Name, Type string
	Value      float64
}

// CardSetting is a line of the table of training settings.
type CardSetting struct{ Name, Value string }

type cardYAML struct {
	Library   string      `yaml:"library_name"`
	License   string      `yaml:"license,omitempty"`
	Languages []string    `yaml:"language,omitempty"`
	BaseModel string      `yaml:"base_model,omitempty"`
	Pipeline  string      `yaml:"pipeline_tag"`
	Tags      []string    `yaml:"tags,omitempty"`
	Datasets  []string    `yaml:"datasets,omitempty"`
	Metrics   []string    `yaml:"metrics,omitempty"`
	Index     []cardIndex `yaml:"model-index,omitempty"`
}

type cardIndex struct {
	Name    string       `yaml:"name"`
	Results []cardResult `yaml:"results"`
}

type cardResult struct {
	Task    cardTask         `yaml:"task"`
	Dataset cardDatasetYAML  `yaml:"dataset"`
	Metrics []cardMetricYAML `yaml:"metrics"`
}

type cardTask struct {
	Name string `yaml:"name"`
	Type string `yaml:"type"`
}

type cardDatasetYAML struct {
	Name   string `yaml:"name"`
	Type   string `yaml:"type"`
	Config string `yaml:"config,omitempty"`
	Split  string `yaml:"split,omitempty"`
}

type cardMetricYAML struct {
	Name  string  `yaml:"name"`
	Type  string  `yaml:"type"`
	Value float64 `yaml:"value"`
}

const cardPipeline = "text-classification"

// Write writes the card as README.md into a model folder.
func (c Card) Write(dir string) error {
	b, err := c.markdown()
	if err == nil {
		err = wholefile.Write(filepath.Join(dir, "README.md"), func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("write model card: %w", err)
	}
	return nil
}

func (c Card) markdown() ([]byte, error) {
	if c.Name == "" {
		return nil, errors.New("the model has no name")
	}
	head := cardYAML{Library: "transformers", License: c.License, Languages: c.Languages, BaseModel: c.BaseModel, Pipeline: cardPipeline, Tags: c.Tags}
	if c.Dataset.Type != "" {
		head.Datasets = []string{c.Dataset.Type}
	}
	if len(c.Metrics) > 0 {
		if c.Dataset.Name == "" || c.Dataset.Type == "" {
			return nil, errors.New("metrics need the name and the type of their dataset")
		}
		r := cardResult{Task: cardTask{"Text Classification", cardPipeline}, Dataset: cardDatasetYAML(c.Dataset)}
		for _, m := range c.Metrics {
			if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
				return nil, fmt.Errorf("metric %s is %v", m.Type, m.Value)
			}
			r.Metrics = append(r.Metrics, cardMetricYAML(m))
			head.Metrics = append(head.Metrics, m.Type)
		}
		head.Index = []cardIndex{{c.Name, []cardResult{r}}}
	}
	y, err := yaml.MarshalWithOptions(head, yaml.IndentSequence(false))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "---\n%s---\n\n# %s\n", y, cell(c.Name))
	if c.Summary != "" {
		fmt.Fprintf(&b, "\n%s\n", c.Summary)
	}
	if len(c.Metrics) > 0 {
		fmt.Fprintf(&b, "\n## Results\n\n%s\n\n| metric | value |\n| --- | ---: |\n", cell(strings.TrimSpace(c.Dataset.Name+" "+c.Dataset.Split)))
		for _, m := range c.Metrics {
			fmt.Fprintf(&b, "| %s | %.4f |\n", cell(m.Name), m.Value)
		}
	}
	if len(c.Settings) > 0 {
		b.WriteString("\n## Training\n\n| setting | value |\n| --- | --- |\n")
		for _, s := range c.Settings {
			fmt.Fprintf(&b, "| %s | %s |\n", cell(s.Name), cell(s.Value))
		}
	}
	return b.Bytes(), nil
}

// cell keeps text on its line and in its column.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(s)
}
