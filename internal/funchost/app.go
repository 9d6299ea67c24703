// Package funchost is a double of the Azure Functions host, which can't be had without .NET and a
// cloud: as much of it as a custom handler sees. It reads host.json and the function.json of each
// function, starts the handler, and calls it as the host does (Azure/azure-functions-host,
// DefaultHttpWorkerService):
//
//   - the handler gets its port in FUNCTIONS_CUSTOMHANDLER_PORT, the app settings as its environment,
//     and 60 s until it answers GET / with anything;
//   - a request whose route leads to a function with one HTTP trigger and one HTTP output is passed
//     on with its path, if host.json says so, and otherwise in an envelope, as a timer's call always
//     is: POST /FUNCTION with {Data, Metadata}, answered with {Outputs, Logs, ReturnValue};
//   - each call has an invocation id, the host's version and its User-Agent, and a traceparent;
//   - no cookies are kept, no redirects followed, and a call ends a minute after functionTimeout;
//   - a status other than 2xx is an error only of a call in an envelope.
//
// A handler that ends is started again; of several, each takes calls in its turn. What the host does not have, such as authorisation levels other than
// anonymous, bindings other than these, and scaling, is refused when the app is loaded.
package funchost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// App is a Functions app, as its files describe it.
type App struct {
	Executable string // as host.json has it
	Arguments  []string
	forwards   bool // HTTP requests, as they are
	prefix     string
	timeout    time.Duration
	functions  []function // HTTP triggers, the most specific routes first; then timers
}

// function is one function.json.
type function struct {
	name, binding string
	methods       []string // upper case; empty: all
	route         []string // segments; {*rest} is the last, {x} any
	schedule      schedule // of a timer
	timer         bool
}

const (
	defaultTimeout = 5 * time.Minute
	maxTimeout     = time.Hour
)

// Load reads an app's files.
func Load(files fs.FS) (*App, error) {
	var host struct {
		Version       string
		CustomHandler struct {
			Description struct {
				DefaultExecutablePath string
				Arguments             []string
			}
			EnableProxyingHTTPRequest   bool `json:"enableProxyingHttpRequest"`
			EnableForwardingHTTPRequest bool `json:"enableForwardingHttpRequest"`
		}
		Extensions struct {
			HTTP struct{ RoutePrefix *string } `json:"http"`
		}
		FunctionTimeout string
	}
	if err := read(files, "host.json", &host); err != nil {
		return nil, err
	}
	if host.Version != "2.0" || host.CustomHandler.Description.DefaultExecutablePath == "" {
		return nil, errors.New("host.json: want version 2.0 and a customHandler with a defaultExecutablePath")
	}
	a := &App{
		Executable: host.CustomHandler.Description.DefaultExecutablePath, Arguments: host.CustomHandler.Description.Arguments,
		forwards: host.CustomHandler.EnableProxyingHTTPRequest || host.CustomHandler.EnableForwardingHTTPRequest, prefix: "api", timeout: defaultTimeout,
	}
	if p := host.Extensions.HTTP.RoutePrefix; p != nil {
		a.prefix = strings.Trim(*p, "/")
	}
	if host.FunctionTimeout != "" {
		var err error
		if a.timeout, err = parseSpan(host.FunctionTimeout); err != nil {
			return nil, fmt.Errorf("host.json: functionTimeout: %w", err)
		}
	}
	names, err := fs.Glob(files, "*/function.json")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		f, err := loadFunction(files, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		a.functions = append(a.functions, f)
	}
	if len(a.functions) == 0 {
		return nil, errors.New("there is no */function.json")
	}
	slices.SortStableFunc(a.functions, moreSpecific)
	return a, nil
}

func read(files fs.FS, name string, to any) error {
	b, err := fs.ReadFile(files, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

type binding struct {
	Type, Direction, Name, AuthLevel, Schedule string
	Route                                      *string
	Methods                                    []string
}

func loadFunction(files fs.FS, name string) (function, error) {
	var file struct{ Bindings []binding }
	f := function{name: path.Dir(name)}
	if err := read(files, name, &file); err != nil {
		return f, err
	}
	triggers, outputs := 0, 0
	for _, b := range file.Bindings {
		switch {
		case b.Name == "":
			return f, errors.New("a binding has no name")
		case b.Type == "httpTrigger" && b.Direction == "in":
			triggers++
			if b.AuthLevel != "anonymous" {
				return f, fmt.Errorf("authLevel %q is not known here, only anonymous", b.AuthLevel)
			}
			route := f.name
			if b.Route != nil {
				route = *b.Route
			}
			f.binding, f.route = b.Name, strings.Split(strings.Trim(route, "/"), "/")
			for _, m := range b.Methods {
				f.methods = append(f.methods, strings.ToUpper(m))
			}
		case b.Type == "timerTrigger" && b.Direction == "in":
			triggers++
			f.timer, f.binding = true, b.Name
			var err error
			if f.schedule, err = parseSchedule(b.Schedule); err != nil {
				return f, err
			}
		case b.Type == "http" && b.Direction == "out":
			outputs++
		default:
			return f, fmt.Errorf("a binding of type %q, direction %q, is not known here", b.Type, b.Direction)
		}
	}
	if triggers != 1 || !f.timer && outputs != 1 || f.timer && outputs != 0 {
		return f, errors.New("want one trigger, and one http output if it is HTTP's")
	}
	return f, nil
}

// moreSpecific orders functions as ASP.NET's routing does, as far as that is asked for: literal segments
// before parameters, and these before what takes the rest.
func moreSpecific(a, b function) int {
	rank := func(f function) (text string) {
		for _, s := range f.route {
			switch {
			case strings.HasPrefix(s, "{*"):
				text += "2"
			case strings.HasPrefix(s, "{"):
				text += "1"
			default:
				text += "0"
			}
		}
		return text + "3" // a longer one goes first
	}
	return strings.Compare(rank(a), rank(b))
}

// find returns the function that a request is for; nil if there is none. allowed is false if there is one for
// other methods only.
func (a *App) find(method, urlPath string) (f *function, allowed bool) {
	rest, ok := strings.CutPrefix(strings.Trim(urlPath, "/")+"/", a.prefix+"/")
	if !ok && a.prefix != "" {
		return nil, false
	}
	segments := strings.Split(strings.Trim(rest, "/"), "/")
	for i := range a.functions {
		g := &a.functions[i]
		if g.timer || !matches(g.route, segments) {
			continue
		}
		if len(g.methods) == 0 || slices.Contains(g.methods, method) {
			return g, true
		}
		f = g
	}
	return f, false
}

func matches(route, segments []string) bool {
	for i, s := range route {
		switch {
		case strings.HasPrefix(s, "{*"):
			return true
		case i >= len(segments):
			return false
		case !strings.HasPrefix(s, "{") && !strings.EqualFold(s, segments[i]):
			return false
		}
	}
	return len(route) == len(segments)
}

// parseSpan reads hh:mm:ss.
func parseSpan(text string) (time.Duration, error) {
	t, err := time.Parse(time.TimeOnly, text)
	if err != nil {
		return 0, fmt.Errorf("%q is not hh:mm:ss", text)
	}
	d := t.Sub(t.Truncate(24 * time.Hour))
	if d <= 0 || d > maxTimeout {
		return 0, fmt.Errorf("%q: want up to an hour", text)
	}
	return d, nil
}
