package armtest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// uuidOf is a GUID that is always the same for the same text.
func uuidOf(text string) string {
	h := sha256.Sum256([]byte(strings.ToLower(text)))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// compute adds what Azure would.
func (s *Server) compute(r object) {
	id, _ := r["id"].(string)
	name, _ := r["name"].(string)
	kind, _ := r["type"].(string)
	p, _ := r["properties"].(object)
	set(p, "provisioningState", "Succeeded")
	if i, ok := r["identity"].(object); ok {
		identify(i, id)
	}
	switch strings.ToLower(kind) {
	case "microsoft.authorization/roleassignments":
		scope, _, _ := cutLast(id, "/providers/microsoft.authorization/")
		set(p, "scope", scope)
	case "microsoft.keyvault/vaults":
		set(p, "vaultUri", "https://"+name+VaultSuffix+"/")
	case "microsoft.managedidentity/userassignedidentities":
		set(p, "clientId", uuidOf("client "+id))
		set(p, "principalId", uuidOf("principal "+id))
		set(p, "tenantId", s.who[0].Tenant)
	case "microsoft.signalrservice/signalr":
		set(p, "hostName", name+".service.signalr.net")
		set(p, "publicPort", 443)
		set(p, "serverPort", 443)
		set(p, "externalIP", "192.0.2.1")
	case "microsoft.storage/storageaccounts":
		s.storage(r, id, name, p)
	case "microsoft.web/sites":
		set(p, "defaultHostName", name+".azurewebsites.net")
		set(p, "customDomainVerificationId", uuidOf(id))
		set(p, "outboundIpAddresses", "192.0.2.2")
		set(p, "possibleOutboundIpAddresses", "192.0.2.2")
		set(r, "kind", "functionapp,linux")
		s.site(id, p)
	case "microsoft.web/staticsites":
		set(p, "defaultHostname", name+".azurestaticapps.net")
		set(p, "repositoryUrl", "")
		set(p, "branch", "")
	case "microsoft.web/serverfarms":
		set(r, "kind", "functionapp")
		set(p, "reserved", true)
	default:
		s.computeMore(r, kind, id, name, p)
	}
}

// computeMore is the rest of compute.
func (s *Server) computeMore(r object, kind, id, name string, p object) {
	switch strings.ToLower(kind) {
	case "microsoft.sql/servers":
		set(p, "fullyQualifiedDomainName", name+".database.windows.net")
		set(p, "state", "Ready")
		s.administrator(id, p)
	case "microsoft.sql/servers/databases":
		set(p, "status", "Online")
		set(p, "currentServiceObjectiveName", deep(r, "sku", "name"))
		set(p, "requestedServiceObjectiveName", deep(r, "sku", "name"))
		set(p, "collation", "SQL_Latin1_General_CP1_CI_AS")
		s.database(id)
		set(p, "maintenanceConfigurationId", "/subscriptions/0/providers/Microsoft.Maintenance/publicMaintenanceConfigurations/SQL_Default")
	case "microsoft.insights/components":
		key := uuidOf("key " + id)
		set(p, "InstrumentationKey", key)
		set(p, "AppId", uuidOf("app "+id))
		set(p, "ConnectionString", "InstrumentationKey="+key+";IngestionEndpoint=https://westeurope-0.in.applicationinsights.azure.com/")
	case "microsoft.operationalinsights/workspaces":
		set(p, "customerId", uuidOf(id))
		set(p, "features", object{})
	case "microsoft.app/managedenvironments":
		set(p, "defaultDomain", "happy-1234.westeurope.azurecontainerapps.io")
		set(p, "staticIp", "192.0.2.3")
		set(p, "infrastructureResourceGroup", "ME_"+name)
	case "microsoft.app/containerapps":
		set(p, "latestRevisionName", name+"--1")
		set(p, "latestRevisionFqdn", name+"--1.westeurope.azurecontainerapps.io")
		if ingress, ok := deepObject(p, "configuration", "ingress"); ok {
			set(ingress, "fqdn", name+".westeurope.azurecontainerapps.io")
		}
	}
}

// identify gives an identity block the ids that Azure would.
func identify(i object, id string) {
	if t, _ := i["type"].(string); strings.Contains(t, "SystemAssigned") {
		set(i, "principalId", uuidOf("system principal "+id))
		set(i, "tenantId", uuidOf("tenant"))
	}
	users, _ := i["userAssignedIdentities"].(object)
	for user := range users {
		users[user] = object{"clientId": uuidOf("client " + user), "principalId": uuidOf("principal " + user)}
	}
}

func (s *Server) storage(r object, id, name string, p object) {
	endpoints := object{}
	for _, service := range []string{"blob", "queue", "table", "file", "web", "dfs"} {
		endpoints[service] = "https://" + name + "." + service + ".core.windows.net/"
	}
	set(p, "primaryEndpoints", endpoints)
	set(p, "primaryLocation", r["location"])
	set(p, "statusOfPrimary", "available")
	for _, service := range []string{"blobServices", "fileServices"} {
		s.add(id+"/"+service+"/default", object{})
	}
}

// site has the sub-resources that every site has.
func (s *Server) site(id string, p object) {
	for _, policy := range []string{"ftp", "scm"} {
		s.add(id+"/basicPublishingCredentialsPolicies/"+policy, object{"allow": true})
	}
	config, _ := p["siteConfig"].(object)
	settings := object{}
	if list, ok := config["appSettings"].([]any); ok {
		for _, e := range list {
			if pair, ok := e.(object); ok {
				settings[fmt.Sprint(pair["name"])] = pair["value"]
			}
		}
	}
	s.stored[strings.ToLower(id+"/config/appsettings")] = object{"id": id + "/config/appsettings", "name": "appsettings", "properties": settings}
	web := merge(config, object{})
	delete(web, "appSettings")
	s.stored[strings.ToLower(id+"/config/web")] = object{"id": id + "/config/web", "name": "web", "properties": web}
	for _, name := range []string{"logs", "slotConfigNames"} {
		s.add(id+"/config/"+name, object{})
	}
}

// administrator keeps what the server was made with.
func (s *Server) administrator(id string, p object) {
	a, ok := p["administrators"].(object)
	if !ok {
		return
	}
	s.add(id+"/administrators/ActiveDirectory", object{
		"administratorType": "ActiveDirectory", "login": a["login"], "sid": a["sid"], "tenantId": a["tenantId"],
		"azureADOnlyAuthentication": a["azureADOnlyAuthentication"],
	})
	s.add(id+"/azureADOnlyAuthentications/Default", object{"azureADOnlyAuthentication": a["azureADOnlyAuthentication"]})
	s.add(id+"/connectionPolicies/default", object{"connectionType": "Default"})
	s.add(id+"/vulnerabilityAssessments/Default", object{})
	s.add(id+"/sqlVulnerabilityAssessments/default", object{"state": "Disabled"})
	s.add(id+"/restorableDroppedDatabases", object{})
}

// database has the sub-resources that every database has.
func (s *Server) database(id string) {
	s.add(id+"/transparentDataEncryption/current", object{"state": "Enabled"})
	s.add(id+"/securityAlertPolicies/Default", object{"state": "Disabled"})
	s.add(id+"/geoBackupPolicies/Default", object{"state": "Enabled"})
	s.add(id+"/backupShortTermRetentionPolicies/default", object{"retentionDays": 7, "diffBackupIntervalInHours": 24})
	s.add(id+"/backupLongTermRetentionPolicies/default", object{"weeklyRetention": "PT0S", "monthlyRetention": "PT0S", "yearlyRetention": "PT0S", "weekOfYear": 1})
}

// add stores something that comes with something else, where it isn't yet.
func (s *Server) add(path string, properties object) {
	key := strings.ToLower(path)
	if s.stored[key] == nil {
		s.stored[key] = object{"id": path, "name": path[strings.LastIndex(path, "/")+1:], "type": typeOf(path), "properties": properties}
	}
}

// wellKnown answers what exists without being put.
func (s *Server) wellKnown(r *http.Request, key string) (any, bool) {
	parts := strings.Split(strings.Trim(key, "/"), "/")
	switch {
	case len(parts) == 2 && parts[0] == "subscriptions":
		return object{"id": key, "subscriptionId": parts[1], "displayName": "stand-in", "state": "Enabled", "tenantId": s.who[0].Tenant}, true
	case len(parts) == 3 && parts[2] == "resources":
		return object{"value": s.ofType(key, r.URL.Query().Get("$filter"))}, true
	case len(parts) == 3 && parts[2] == "providers":
		return object{"value": providers()}, true
	case len(parts) == 4 && parts[2] == "providers":
		return object{"namespace": parts[3], "registrationState": "Registered"}, true
	case strings.HasSuffix(key, "/providers/microsoft.authorization/roledefinitions"):
		return object{"value": rolesBy(r.URL.Query())}, true
	case strings.Contains(key, "/providers/microsoft.authorization/roledefinitions/"):
		return roleByID(parts[len(parts)-1])
	}
	return nil, false
}

// ofType lists what is of a type in a subscription: the filter is resourceType eq 'TYPE'.
func (s *Server) ofType(key, filter string) []object {
	_, kind, _ := strings.Cut(filter, "'")
	kind, _, _ = strings.Cut(kind, "'")
	list := []object{}
	for k, v := range s.stored {
		if strings.HasPrefix(k, strings.TrimSuffix(key, "resources")) && strings.EqualFold(fmt.Sprint(v["type"]), kind) {
			list = append(list, v)
		}
	}
	return list
}

func providers() []object {
	var list []object
	for _, n := range []string{
		"Microsoft.App", "Microsoft.Authorization", "Microsoft.Consumption", "Microsoft.Insights", "Microsoft.KeyVault", "Microsoft.ManagedIdentity",
		"Microsoft.Network", "Microsoft.OperationalInsights", "Microsoft.SignalRService", "Microsoft.Sql", "Microsoft.Storage", "Microsoft.Web",
	} {
		list = append(list, object{"namespace": n, "registrationState": "Registered"})
	}
	return list
}

// roles are Azure's, by name; a name that is not here does not exist.
func roles() map[string]string {
	return map[string]string{
		"AcrPull":                      "7f951dda-4ed3-4680-a7ca-43fe172d538d",
		"AcrPush":                      "8311e382-0749-4cb8-b61a-304f252e45ec",
		"Container Apps Contributor":   "358470bc-b998-42bd-ab17-a7e34c199c0f",
		"Contributor":                  "b24988ac-6180-42a0-ab88-20f7382dd24c",
		"Key Vault Secrets Officer":    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
		"Key Vault Secrets User":       "4633458b-17de-408a-b874-0445c86b69e6",
		"Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
		"Reader":                       "acdd72a7-3385-48ef-bd42-f606fba81ae7",
		"Role Based Access Control Administrator": "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
		"SignalR Service Owner":                   "7e4f1700-ea5a-4f59-8f37-079cfe29dce3",
		"Storage Blob Data Contributor":           "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
		"Storage Blob Data Owner":                 "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
		"Website Contributor":                     "de139f84-1756-47ae-9be6-808fbbe84772",
	}
}

func rolesBy(q url.Values) []object {
	list := []object{}
	for name, id := range roles() {
		if q.Get("$filter") == "roleName eq '"+name+"'" {
			list = append(list, role(name, id))
		}
	}
	return list
}

func roleByID(id string) (any, bool) {
	for name, i := range roles() {
		if i == id {
			return role(name, i), true
		}
	}
	return nil, false
}

func role(name, id string) object {
	return object{
		"id": "/providers/Microsoft.Authorization/roleDefinitions/" + id, "name": id, "type": "Microsoft.Authorization/roleDefinitions",
		"properties": object{"roleName": name, "type": "BuiltInRole"},
	}
}

// keysOf answers lists of keys. The values are no secrets: nothing is behind them.
func keysOf(kind, action string) object {
	if strings.EqualFold(kind, "microsoft.signalrservice/signalr") {
		return object{}
	}
	if strings.EqualFold(kind, "microsoft.web/staticsites") && action == "listsecrets" {
		return object{"properties": object{"apiKey": "not-a-key"}}
	}
	return object{"keys": []object{}, "value": []object{}, "properties": object{}}
}

func set(o object, key string, v any) {
	if o != nil && o[key] == nil && v != nil {
		o[key] = v
	}
}

func deep(o object, path ...string) any {
	var v any = o
	for _, p := range path {
		inner, ok := v.(object)
		if !ok {
			return nil
		}
		v = inner[p]
	}
	return v
}

func deepObject(o object, path ...string) (object, bool) {
	inner, ok := deep(o, path...).(object)
	return inner, ok
}
