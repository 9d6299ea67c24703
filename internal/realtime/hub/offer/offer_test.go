package offer

import "testing"

func TestJSON(t *testing.T) {
	const ws, sse, lp = `{"transport":"WebSockets","transferFormats":["Text","Binary"]}`,
		`{"transport":"ServerSentEvents","transferFormats":["Text"]}`,
		`{"transport":"LongPolling","transferFormats":["Text","Binary"]}`
	for _, c := range []struct {
		offer Offer
		want  string
	}{
		{Offer{Version: 1, ID: "a.b", Token: "t", Transports: All}, `{"negotiateVersion":1,"connectionId":"a.b","connectionToken":"t","availableTransports":[` + ws + "," + sse + "," + lp + "]}"},
		{Offer{Version: 0, ID: "a", Token: "secret", Transports: All}, `{"negotiateVersion":0,"connectionId":"a","availableTransports":[` + ws + "," + sse + "," + lp + "]}"},
		{Offer{Version: 1, ID: "a", Token: "t", Transports: WebSockets, Resume: true}, `{"negotiateVersion":1,"connectionId":"a","connectionToken":"t","availableTransports":[` + ws + `],"useStatefulReconnect":true}`},
		{Offer{Version: 1, ID: "a", Token: "t", Transports: ServerSentEvents | LongPolling}, `{"negotiateVersion":1,"connectionId":"a","connectionToken":"t","availableTransports":[` + sse + "," + lp + "]}"},
		{Offer{Version: 1, ID: "a", Token: "t"}, `{"negotiateVersion":1,"connectionId":"a","connectionToken":"t","availableTransports":[]}`},
	} {
		if got := string(c.offer.JSON()); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.offer, got, c.want)
		}
	}
}
