package query

import "testing"

func TestParse(t *testing.T) {
	cases := []struct {
		raw  string
		want Query
		bad  bool
	}{
		{raw: "", want: Query{}},
		{raw: "hub=Chat&id=x&access_token=t&negotiateVersion=1&a=b", want: Query{Hub: "chat", ID: "x", Token: "t", Version: "1", Rest: "?hub=Chat&negotiateVersion=1&a=b"}},
		{raw: "HUB=a&ID=1&id=2&Access_Token=t", want: Query{Hub: "a", ID: "1", Token: "t", Rest: "?HUB=a"}},
		{raw: "hub=a&negotiateVersion=1&negotiateVersion=0&useStatefulReconnect=True", want: Query{Hub: "a", Version: "1", Resume: true, Rest: "?hub=a&negotiateVersion=1&negotiateVersion=0&useStatefulReconnect=True"}},
		{raw: "hub=a&useStatefulReconnect=false&useStatefulReconnect=true", want: Query{Hub: "a", Rest: "?hub=a&useStatefulReconnect=false&useStatefulReconnect=true"}},
		{raw: "hub=a&hub=b", bad: true},
		{raw: "hub=a&Hub=a", bad: true},
		{raw: "hub=%zz", bad: true},
	}
	for _, c := range cases {
		got, err := Parse(c.raw)
		if (err != nil) != c.bad || (!c.bad && got != c.want) {
			t.Errorf("%q: %+v %v, want %+v", c.raw, got, err, c.want)
		}
	}
}
