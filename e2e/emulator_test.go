//go:build e2e

package e2e

import "testing"

// A second, independent upstream: the BigQuery emulator runs the SQL. A part of the tests is
// enough, since it slows down with every job.
func TestOnTheEmulator(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--engine", "emulator")
	t.Run("masked", func(t *testing.T) {
		for name, sql := range map[string]string{
			"plain":  `SELECT ssn, card_number, email, id FROM crm.customers`,
			"cte":    `WITH x AS (SELECT ssn AS s, card_number AS c, email AS e, id FROM crm.customers) SELECT * FROM x`,
			"joined": `SELECT c.ssn, c.card_number, c.email, o.id FROM crm.customers c JOIN crm.orders o ON o.customer_id = c.id`,
		} {
			d.answersMasked(t, name, sql)
		}
	})
	t.Run("hold approved", func(t *testing.T) { holdApproved(t, d) })
	t.Run("python", func(t *testing.T) {
		checkPython(t, d.script(t, "agent", `
rows = list(client.query_and_wait("SELECT id, ssn, card_number, email, phones, address FROM crm.customers ORDER BY id"))
print(json.dumps([[r["id"], r["ssn"], r["card_number"], r["email"], [p["number"] for p in r["phones"]], r["address"]["city"] if r["address"] else None] for r in rows]))`))
	})
	d.searchCanaries()
}
