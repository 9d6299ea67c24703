// Package armtest is a stand-in for Azure Resource Manager, Entra ID and Key Vault, good enough for the
// real azurerm provider to plan, apply, plan again and destroy against it.
//
// It keeps what is put, and gives it back with the fields that Azure would compute and the provider
// wants to see (computed.go). It records the body of each change, so that a test can compare what Azure
// would receive with what it should. A path that nobody put anything at is 404, and it knows only
// the roles that exist and the credentials that it was told of.
//
// It accepts everything else. So it proves the configuration, the provider's behaviour and the requests,
// and not that Azure would accept them (docs/azure.md has the list of what that leaves open).
//
// Names are resolved by whoever starts the provider: Host, LoginHost and the vaults' names must lead
// here, and the certificate of Authority must be believed.
package armtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Host names of the stand-in.
const (
	Host        = "management.azure.test"
	LoginHost   = "login.azure.test"
	VaultSuffix = ".vault.azure.net"
)

// Identity is who may come in: by a federated token, as pipelines do.
type Identity struct {
	Tenant, Client, Object string
	Assertion              string // the token of the pipeline's own issuer
}

// Change is a request that changes something.
type Change struct {
	Method, Path string
	Body         json.RawMessage
}

// Server is the stand-in. It is safe for concurrent use.
type Server struct {
	who []Identity

	mu      sync.Mutex
	stored  map[string]object // by lower-case path
	changes []Change
	unknown []string // requests that were answered with 404 or 405
	vaults  map[string]map[string]*secretValue
}

type object = map[string]any

// maxBody bounds what is read of a request.
const maxBody = 4 << 20

// New returns a Server that lets the identities in.
func New(who ...Identity) *Server {
	return &Server{who: who, stored: map[string]object{}, vaults: map[string]map[string]*secretValue{}}
}

// Changes returns what was changed so far, in order.
func (s *Server) Changes() []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changes)
}

// Forget forgets the changes, not what they made.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes, s.unknown = nil, nil
}

// Unknown returns the requests that found nothing.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unknown)
}

// Resources returns the paths of what is there.
func (s *Server) Resources() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.stored {
		if id, ok := r["id"].(string); ok {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// Secret returns the value of a vault's secret, and how often it was written.
func (s *Server) Secret(vault, name string) (value string, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.vaults[vault][name]; v != nil {
		return v.value, v.writes
	}
	return "", 0
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, "RequestTooLarge", err.Error())
		return
	}
	host, _, _ := strings.Cut(r.Host, ":")
	s.mu.Lock()
	defer s.mu.Unlock()
	vault, isVault := strings.CutSuffix(host, VaultSuffix)
	switch {
	case host == LoginHost:
		s.login(w, r, body)
	case r.URL.Path == "/metadata/endpoints":
		answer(w, http.StatusOK, metadata())
	case !s.authorized(r):
		challenge(w)
	case isVault:
		s.vault(w, r, vault, body)
	default:
		s.arm(w, r, body)
	}
}

func (s *Server) arm(w http.ResponseWriter, r *http.Request, body []byte) {
	path := strings.TrimRight(r.URL.Path, "/")
	key := strings.ToLower(path)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.get(w, r, path, key)
	case http.MethodPut, http.MethodPatch:
		s.put(w, r, path, key, body)
	case http.MethodPost:
		s.post(w, r, path, key, body)
	case http.MethodDelete:
		s.changes = append(s.changes, Change{Method: r.Method, Path: path})
		found := false
		for k := range s.stored {
			if k == key || strings.HasPrefix(k, key+"/") {
				delete(s.stored, k)
				found = true
			}
		}
		if !found {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, http.StatusOK, object{})
	default:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
	}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, path, key string) {
	if found, ok := s.stored[key]; ok {
		answer(w, http.StatusOK, found)
		return
	}
	if well, ok := s.wellKnown(r, key); ok {
		answer(w, http.StatusOK, well)
		return
	}
	if isCollection(key) {
		answer(w, http.StatusOK, object{"value": s.children(key)})
		return
	}
	s.notFound(w, r, path)
}

// children lists what is directly in a collection.
func (s *Server) children(key string) []object {
	list := []object{}
	for k, v := range s.stored {
		if rest, ok := strings.CutPrefix(k, key+"/"); ok && !strings.Contains(rest, "/") {
			list = append(list, v)
		}
	}
	return list
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, path, key string, body []byte) {
	var in object
	if err := json.Unmarshal(body, &in); err != nil {
		fail(w, http.StatusBadRequest, "InvalidRequestContent", err.Error())
		return
	}
	s.changes = append(s.changes, Change{Method: r.Method, Path: path, Body: body})
	old, there := s.stored[key]
	if r.Method == http.MethodPatch {
		if !there {
			s.notFound(w, r, path)
			return
		}
		in = merge(old, in)
	}
	if _, ok := in["properties"].(object); !ok {
		in["properties"] = object{}
	}
	in["id"], in["name"], in["type"] = path, path[strings.LastIndex(path, "/")+1:], typeOf(path)
	s.compute(in)
	s.stored[key] = in
	status := http.StatusOK // most of the provider wants it for what is new, too
	if !there && strings.Contains(key, "/providers/microsoft.authorization/roleassignments/") {
		status = http.StatusCreated
	}
	answer(w, status, in)
}

// post answers actions. Lists of keys and settings are the most of them.
func (s *Server) post(w http.ResponseWriter, r *http.Request, path, key string, body []byte) {
	at := strings.LastIndex(key, "/")
	of, action := key[:at], key[at+1:]
	switch action {
	case "list": // POST …/config/appsettings/list
		if found, ok := s.stored[of]; ok {
			answer(w, http.StatusOK, found)
			return
		}
		answer(w, http.StatusOK, object{"id": path, "properties": object{}})
	case "listkeys", "listsecrets", "listconfigured", "listappsettings":
		if secrets := deep(s.stored[of], "properties", "configuration", "secrets"); secrets != nil {
			answer(w, http.StatusOK, object{"value": secrets}) // a container app's
			return
		}
		answer(w, http.StatusOK, keysOf(typeOf(of), action))
	case "register":
		answer(w, http.StatusOK, object{"registrationState": "Registered"})
	case "checknameavailability":
		answer(w, http.StatusOK, object{"nameAvailable": true})
	default:
		if strings.HasSuffix(key, "/listsecrets") || s.stored[of] != nil {
			s.changes = append(s.changes, Change{Method: r.Method, Path: path, Body: body})
			answer(w, http.StatusOK, object{"value": []object{}})
			return
		}
		s.notFound(w, r, path)
	}
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request, path string) {
	s.unknown = append(s.unknown, r.Method+" "+path)
	fail(w, http.StatusNotFound, "ResourceNotFound", fmt.Sprintf("nothing is at %s", path))
}

// merge puts patch over old, object by object.
func merge(old, patch object) object {
	out := object{}
	for k, v := range old {
		out[k] = v
	}
	for k, v := range patch {
		inner, isObject := v.(object)
		before, wasObject := out[k].(object)
		if isObject && wasObject {
			v = merge(before, inner)
		}
		out[k] = v
	}
	return out
}

// isCollection reports whether a path names a type rather than one of it: in what follows its last
// /providers/, names and types take turns.
func isCollection(key string) bool {
	_, tail, ok := cutLast(key, "/providers/")
	if !ok {
		return strings.HasSuffix(key, "/resourcegroups") || strings.HasSuffix(key, "/providers")
	}
	return strings.Count(tail, "/")%2 == 1
}

// typeOf is the type of what is at a path, such as Microsoft.Sql/servers/databases.
func typeOf(path string) string {
	_, tail, ok := cutLast(path, "/providers/")
	if !ok {
		return "Microsoft.Resources/resourceGroups"
	}
	parts := strings.Split(tail, "/")
	kind := parts[:1]
	for i := 1; i < len(parts); i += 2 {
		kind = append(kind, parts[i])
	}
	return strings.Join(kind, "/")
}

func cutLast(s, sep string) (before, after string, found bool) {
	at := strings.LastIndex(strings.ToLower(s), sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone, or reads it
}

func fail(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, object{"error": object{"code": code, "message": message}})
}
