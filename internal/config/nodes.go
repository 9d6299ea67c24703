package config

import (
	"fmt"
	"net/url"
	"strings"
)

// Nodes is where relays are: our own, and those of relay nodes elsewhere.
type Nodes struct {
	RelayRegion   string      `yaml:"relay_region" name:"relay-region" placeholder:"NAME" help:"Region that the own relay is in."`
	DefaultRegion string      `yaml:"default_region" name:"default-region" placeholder:"NAME" help:"Region whose relays come first where a peer names none. By default the own relay comes first, then nodes in their order, then bought ones."`
	RelayNode     []RelayNode `yaml:"relay_node" kong:"-" help:"Relay nodes elsewhere (causeway relay --control), in the file, or as one YAML list in CAUSEWAY_RELAY_NODE. Each has a name, the url of its control interface (https), and may have a region and a price per gigabyte. Its key comes from: causeway node key NAME."`
}

// RelayNode is a relay of ours that runs elsewhere.
type RelayNode struct {
	Name   string `yaml:"name"`
	URL    string `yaml:"url"`
	Region string `yaml:"region,omitempty"`
	Price  Money  `yaml:"price,omitempty"` // of a gigabyte
}

// maxRegion is the length of a region's name.
const maxRegion = 32

// validate reports what is wrong, by bad(key, …). others are names that are taken.
func (n *Nodes) validate(bad func(key, format string, args ...any), others []Provider) {
	for key, region := range map[string]string{"relay_region": n.RelayRegion, "default_region": n.DefaultRegion} {
		if len(region) > maxRegion {
			bad(key, "is longer than %d characters", maxRegion)
		}
	}
	names := map[string]bool{OwnRelay: true}
	for _, p := range others {
		names[p.Name] = true
	}
	for i, one := range n.RelayNode {
		if one.Name == "" || names[one.Name] {
			bad("relay_node", "number %d: wants a name of its own, and not %q", i+1, OwnRelay)
		}
		names[one.Name] = true
		for _, what := range one.wrong() {
			bad("relay_node", "number %d (%s): %s", i+1, one.Name, what)
		}
	}
}

func (n *RelayNode) wrong() (list []string) {
	if strings.ContainsFunc(n.Name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }) || len(n.Name) > maxRegion {
		list = append(list, fmt.Sprintf("name: want up to %d of a-z, 0-9 and -", maxRegion))
	}
	if u, err := url.Parse(n.URL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		list = append(list, "url: want an origin such as https://relay1.example.org")
	}
	if len(n.Region) > maxRegion {
		list = append(list, fmt.Sprintf("region: is longer than %d characters", maxRegion))
	}
	if n.Price < 0 || n.Price > maxPrice {
		list = append(list, fmt.Sprintf("price: want 0 to %s", maxPrice))
	}
	return list
}
