package hub

import (
	"context"
	"encoding/json"

	"causeway/internal/realtime"
)

type Broker interface{}
type cluster struct{}

func newCluster(*Hub, Broker) *cluster                                                { return nil }
func (k *cluster) join(context.Context) (func(), error)                               { return func() {}, nil }
func (k *cluster) send(context.Context, string, realtime.Recipient, *fan) error       { return nil }
func (k *cluster) remote(string) string                                               { return "" }
func (k *cluster) join1(context.Context, string, string, string, string) error        { return nil }
func (k *cluster) leave1(context.Context, string, string, string, string) error       { return nil }
func (k *cluster) close1(context.Context, string, string, string, string) error       { return nil }
func (k *cluster) closeAll(context.Context, string, realtime.Recipient, string) error { return nil }
func (k *cluster) changeUserGroup(context.Context, string, userGroup) error           { return nil }
func (k *cluster) count(context.Context, string, realtime.Recipient) (int, []string, error) {
	return 0, nil, nil
}
func (k *cluster) list(context.Context, string, realtime.Recipient, string, int) ([]realtime.ConnectionInfo, error) {
	return nil, nil
}
func (k *cluster) invoke(context.Context, string, string, string, realtime.Message) (json.RawMessage, error) {
	return nil, nil
}
