package lab

import (
	"os"

	"go.yaml.in/yaml/v3"
)

// sections are what the rack needs to know of an appliance's configuration.
type sections struct {
	Router  any `yaml:"router"` // "none" or a map
	Cluster struct {
		Servers []string `yaml:"servers"`
	} `yaml:"cluster"`
}

// readSections reads a configuration. What is wrong in it is the appliance's to
// name: it leaves the sections empty.
func readSections(config string) (s sections, err error) {
	text, err := os.ReadFile(config)
	if err != nil {
		return s, err
	}
	if yaml.Unmarshal(text, &s) != nil {
		return sections{}, nil
	}
	return s, nil
}

// routes reports whether there is a router.
func (s sections) routes() bool {
	_, ok := s.Router.(map[string]any)
	return ok
}

// founds reports whether machines of the rack become the cluster.
func (s sections) founds() bool { return len(s.Cluster.Servers) > 0 }
