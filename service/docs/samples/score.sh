# Score one applicant. QF_API_URL is the service's address, QF_API_KEY your key.
curl --silent --show-error --fail-with-body "$QF_API_URL/v1/score" \
  --header "x-api-key: $QF_API_KEY" \
  --header "content-type: application/json" \
  --header "idempotency-key: request-$(date +%s)-$$" \
  --data '{
    "annual_income": 65000.5, "monthly_inhand_salary": 4800.25, "num_bank_accounts": 4, "num_credit_cards": 5,
    "num_loans": 2, "loan_types": ["auto", "mortgage"], "interest_rate": 12, "delay_from_due_date": 10,
    "num_delayed_payments": 8, "num_credit_inquiries": 4, "changed_credit_limit": 9.5, "credit_mix": "Standard",
    "outstanding_debt": 1200.5, "credit_utilization_ratio": 31.2, "credit_history_months": 200,
    "payment_of_min_amount": "No", "total_emi_per_month": 90.1, "amount_invested_monthly": 150.2,
    "payment_behaviour": "high_spent_small_value_payments", "monthly_balance": 350.4
  }'
