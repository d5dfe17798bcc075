package config

import "time"

// Notify is how notifications reach the devices of users.
type Notify struct {
	Timeout  time.Duration `yaml:"timeout"`  // of one attempt at one device; 5s, 10s at most
	Retry    time.Duration `yaml:"retry"`    // how long a device that does not answer is tried; 2m, 1h at most
	TTL      time.Duration `yaml:"ttl"`      // how long push services keep a notification for a device that is off; 24h
	Keep     time.Duration `yaml:"keep"`     // how long it stays in the user's channel; 720h
	Inbox    int           `yaml:"inbox"`    // notifications in the channel of one user; 100, the oldest go
	Devices  int           `yaml:"devices"`  // devices of one user; 20, the ones registered longest ago go
	Queue    int           `yaml:"queue"`    // notifications on their way to devices at once; 10000
	Parallel int           `yaml:"parallel"` // attempts at devices at once; 64

	WebPush WebPush `yaml:"webpush"`
	FCM     FCM     `yaml:"fcm"`
	APNs    APNs    `yaml:"apns"`
}

// WebPush is the key that push services of browsers know the relay by (VAPID). Without one there is no web push,
// but in development mode, where a key is made at the start.
type WebPush struct {
	Secret  string `yaml:"secret"`  // private key, 32 bytes in base64url, as weir vapid prints it; or
	File    string `yaml:"file"`    // a file that holds it
	Subject string `yaml:"subject"` // whom a push service may ask: mailto:ops@example.com, or an https address
}

// FCM is Firebase Cloud Messaging, for Android and others.
type FCM struct {
	File string `yaml:"file"` // the service account's JSON file; "": there is no FCM
	URL  string `yaml:"url"`  // https://fcm.googleapis.com
	// AllowInsecure permits http and private addresses for this service; for tests.
	AllowInsecure bool `yaml:"allow_insecure"`
}

// APNs is the Apple Push Notification service.
type APNs struct {
	File   string `yaml:"file"`    // the signing key, a .p8 file; "": there is no APNs
	KeyID  string `yaml:"key_id"`  // of the key: 10 letters and digits
	TeamID string `yaml:"team_id"` // of the developer account, alike
	Topic  string `yaml:"topic"`   // bundle id of the app
	URL    string `yaml:"url"`     // https://api.push.apple.com; https://api.sandbox.push.apple.com for development builds
	// AllowInsecure permits http and private addresses for this service; for tests.
	AllowInsecure bool `yaml:"allow_insecure"`
}

func fillNotify(n Notify) Notify {
	set(&n.Timeout, 5*time.Second)
	set(&n.Retry, 2*time.Minute)
	set(&n.TTL, 24*time.Hour)
	set(&n.Keep, 720*time.Hour)
	set(&n.Inbox, 100)
	set(&n.Devices, 20)
	set(&n.Queue, 10000)
	set(&n.Parallel, 64)
	set(&n.FCM.URL, "https://fcm.googleapis.com")
	set(&n.APNs.URL, "https://api.push.apple.com")
	return n
}
