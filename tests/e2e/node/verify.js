// Reads {"secret", "headers", "body"} from standard input; exits with 0 if the signature is good.
const { Webhook } = require("standardwebhooks");

const { secret, headers, body } = JSON.parse(require("fs").readFileSync(0, "utf8"));
new Webhook(secret).verify(body, headers);
