package app

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"causeway/internal/entra"
	"causeway/internal/ops"
	"causeway/internal/telemetry"
)

// What the platform sets for Application Insights.
const (
	insightsVariable     = "APPLICATIONINSIGHTS_CONNECTION_STRING"
	insightsAuthVariable = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"
)

// openInsights makes the client of Application Insights, if there is one, and has the log go there, too.
func (f *Functions) openInsights(ctx context.Context, identity *identity) error {
	if f.cfg.Telemetry == "env:"+insightsVariable && os.Getenv(insightsVariable) == "" {
		return nil
	}
	connection, err := getSecret(f.secrets.Get).text(ctx, "telemetry", f.cfg.Telemetry)
	if err != nil {
		return err
	}
	local := f.log // a failure to send is not sent
	cfg := telemetry.Config{
		Connection: connection.Reveal(), Role: "causeway", Version: ops.Version(), Sampling: f.cfg.TelemetrySample,
		Gatherer: f.ops.Registry, Registerer: f.ops.Registry,
		Failed: func(err error) { local.Warn("telemetry is lost", "err", err) },
	}
	if strings.Contains(strings.ToLower(os.Getenv(insightsAuthVariable)), "authorization=aad") {
		cfg.Token = entra.NewTokens(identity.token(telemetry.Scope)).Token
	}
	if f.insights, err = telemetry.New(cfg); err != nil {
		return err
	}
	f.log = slog.New(f.insights.Log(f.log.Handler()))
	return nil
}

func (f *Functions) traced(next http.Handler) http.Handler {
	if f.insights == nil {
		return next
	}
	return f.insights.Handler(next)
}

func (f *Functions) traceCalls(name string, next http.RoundTripper) http.RoundTripper {
	if f.insights == nil {
		return next
	}
	return f.insights.Transport(name, next)
}
