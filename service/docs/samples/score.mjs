// Score one applicant, from Node 18 or later. Never from a browser: your key must not leave your servers.
const applicant = {
  annual_income: 65000.5, monthly_inhand_salary: 4800.25, num_bank_accounts: 4, num_credit_cards: 5,
  num_loans: 2, loan_types: ["auto", "mortgage"], interest_rate: 12, delay_from_due_date: 10,
  num_delayed_payments: 8, num_credit_inquiries: 4, changed_credit_limit: 9.5, credit_mix: "Standard",
  outstanding_debt: 1200.5, credit_utilization_ratio: 31.2, credit_history_months: 200,
  payment_of_min_amount: "No", total_emi_per_month: 90.1, amount_invested_monthly: 150.2,
  payment_behaviour: "high_spent_small_value_payments", monthly_balance: null,
};

const response = await fetch(`${process.env.QF_API_URL}/v1/score`, {
  method: "POST",
  headers: {
    "x-api-key": process.env.QF_API_KEY,
    "content-type": "application/json",
    "idempotency-key": crypto.randomUUID(),
  },
  body: JSON.stringify(applicant),
});
const answer = await response.json();
if (!response.ok) {
  // RFC 9457: type, title, status, detail, instance and, for a 422, errors with JSON pointers.
  console.error(answer.title, answer.errors ?? "", "retry after", response.headers.get("retry-after"));
  process.exit(1);
}
console.log(answer.score, answer.band, answer.reasons.map((reason) => reason.text.pt));
