package armtest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// secretValue is a secret in a vault.
type secretValue struct {
	value, contentType string
	tags               object
	writes             int
}

// vault is a vault's data plane: secrets are set, read and deleted. Deleted ones are gone; a real
// vault keeps them for days.
func (s *Server) vault(w http.ResponseWriter, r *http.Request, vault string, body []byte) {
	secrets := s.vaults[vault]
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] == "deletedsecrets" || len(parts) < 2 {
		if len(parts) < 2 {
			answer(w, http.StatusOK, object{"value": []object{}})
			return
		}
		fail(w, http.StatusNotFound, "SecretNotFound", "not deleted")
		return
	}
	name := parts[1]
	switch r.Method {
	case http.MethodPut:
		var in struct {
			Value       string `json:"value"`
			ContentType string `json:"contentType"`
			Tags        object `json:"tags"`
		}
		if err := json.Unmarshal(body, &in); err != nil || in.Value == "" {
			fail(w, http.StatusBadRequest, "BadParameter", "a value is wanted")
			return
		}
		if secrets == nil {
			secrets = map[string]*secretValue{}
			s.vaults[vault] = secrets
		}
		v := secrets[name]
		if v == nil {
			v = &secretValue{}
			secrets[name] = v
		}
		v.value, v.contentType, v.tags = in.Value, in.ContentType, in.Tags
		v.writes++
		// The value is not recorded: golden files are no place for it.
		s.changes = append(s.changes, Change{Method: r.Method, Path: vault + VaultSuffix + "/secrets/" + name})
		answer(w, http.StatusOK, v.bundle(vault, name))
	case http.MethodPatch, http.MethodGet:
		v := secrets[name]
		if v == nil {
			fail(w, http.StatusNotFound, "SecretNotFound", "no such secret")
			return
		}
		answer(w, http.StatusOK, v.bundle(vault, name))
	case http.MethodDelete:
		v := secrets[name]
		if v == nil {
			fail(w, http.StatusNotFound, "SecretNotFound", "no such secret")
			return
		}
		delete(secrets, name)
		answer(w, http.StatusOK, v.bundle(vault, name))
	default:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
	}
}

func (v *secretValue) bundle(vault, name string) object {
	b := object{
		"value":      v.value,
		"id":         "https://" + vault + VaultSuffix + "/secrets/" + name + "/" + strings.Repeat("0", 31) + strconv.Itoa(v.writes%10),
		"attributes": object{"enabled": true, "created": 1767225600, "updated": 1767225600, "recoveryLevel": "CustomizedRecoverable", "recoverableDays": 7},
	}
	if v.contentType != "" {
		b["contentType"] = v.contentType
	}
	if v.tags != nil {
		b["tags"] = v.tags
	}
	return b
}
