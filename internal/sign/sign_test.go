package sign

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The example of the Standard Webhooks libraries' own tests.
const (
	vectorSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime   = 1614265330
	vectorBody   = `{"test": 2432232314}`
	vectorWant   = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

// testSecret is that of the tests that have none from elsewhere.
const testSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

func key(t testing.TB, secret string) []byte {
	t.Helper()
	k, err := ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignVector(t *testing.T) {
	if got := Sign([][]byte{key(t, vectorSecret)}, vectorID, time.Unix(vectorTime, 0), []byte(vectorBody)); got != vectorWant {
		t.Errorf("%s, want %s", got, vectorWant)
	}
}

func TestVerify(t *testing.T) {
	now := time.Unix(vectorTime, 0)
	old, fresh := key(t, vectorSecret), key(t, testSecret)
	stamp := strconv.Itoa(vectorTime)
	both := Sign([][]byte{fresh, old}, vectorID, now, []byte(vectorBody))
	for _, tt := range []struct {
		name                       string
		key                        []byte
		id, stamp, signature, body string
		at                         time.Time
		want                       error
	}{
		{"right", old, vectorID, stamp, vectorWant, vectorBody, now, nil},
		{"rotation, old key", old, vectorID, stamp, both, vectorBody, now, nil},
		{"rotation, new key", fresh, vectorID, stamp, both, vectorBody, now, nil},
		{"another version beside", old, vectorID, stamp, "v2,xx v1a,yy " + vectorWant, vectorBody, now, nil},
		{"another key", fresh, vectorID, stamp, vectorWant, vectorBody, now, errSignature},
		{"tampered body", old, vectorID, stamp, vectorWant, vectorBody + " ", now, errSignature},
		{"tampered id", old, vectorID + "x", stamp, vectorWant, vectorBody, now, errSignature},
		{"tampered time", old, vectorID, strconv.Itoa(vectorTime + 1), vectorWant, vectorBody, now, errSignature},
		{"empty", old, vectorID, stamp, "", vectorBody, now, errSignature},
		{"no base64", old, vectorID, stamp, "v1,***", vectorBody, now, errSignature},
		{"just in time", old, vectorID, stamp, vectorWant, vectorBody, now.Add(tolerance), nil},
		{"replayed", old, vectorID, stamp, vectorWant, vectorBody, now.Add(tolerance + time.Second), errTimestamp},
		{"from the future", old, vectorID, stamp, vectorWant, vectorBody, now.Add(-tolerance - time.Second), errTimestamp},
		{"no time", old, vectorID, "soon", vectorWant, vectorBody, now, errTimestamp},
	} {
		if err := Verify(tt.key, tt.id, tt.stamp, tt.signature, []byte(tt.body), tt.at); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestParseSecret(t *testing.T) {
	for _, bad := range []string{"", "hunter2", "whsec_", "whsec_hunter2!", "whsec_aHVudGVyMg==", secretPrefix + strings.Repeat("QUFB", 30)} {
		if _, err := ParseSecret(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
